"""Speed of decoding and of prompts: `otaro bench` beside llama.cpp, same shape, same threads, in one run.

    cargo build --release
    python3 tests/bench/llama_cpp.py --shape llama3.2-1b --threads 2,1 --depth 0,2048

llama.cpp comes as the PyPI package llama-cpp-python, built from its source distribution (a C++ compiler is
needed, and some minutes; MAKEFLAGS=-j1 keeps it to one core) into target/bench/venv when the script first
runs. Both programs get random weights of one shape, kept in target/bench/models. A pair is a number of
mantissa bits and llama.cpp's quantisation of as many bits or fewer; the two take turns, so that a busy
machine slows both, and every turn is a process of its own. Prints a table in Markdown: medians over the
turns, the median of the ratios turn by turn, and the share of the memory's read bandwidth, which `otaro
bench` measures before every run of a turn.
"""

import argparse
import ctypes
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "target" / "bench"
VENV_PYTHON = FOLDER / "venv" / "bin" / "python"
PACKAGES = ["llama-cpp-python==0.3.36", "gguf==0.19.0", "numpy"]
# This file has the name of the package, which must not be found in its folder.
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]
# Tokens of a pass of llama.cpp, as llama-bench sets it.
BATCH = 2048


def main():
    arguments = parse()
    if arguments.one_turn:
        return llama_cpp_turn(arguments)
    use_venv()
    ours = otaro_file(arguments)
    architecture = json.loads(output([arguments.otaro, "inspect", ours, "--json"]))["architecture"]
    files = {quant: gguf_file(arguments, ours, architecture, quant) for _, quant in arguments.pairs}
    results = {}
    try:
        for turn in range(1, arguments.turns + 1):
            take_turn(arguments, turn, ours, files, results)
    except KeyboardInterrupt:
        print("interrupted: what is finished follows", file=sys.stderr)
    report(arguments, results)


def take_turn(arguments, turn, ours, files, results):
    for bits, quant in arguments.pairs:
        for threads in arguments.threads:
            print(f"turn {turn} of {arguments.turns}: {threads} threads, E5M{bits}, {quant}", file=sys.stderr)
            mine = otaro_turn(arguments, ours, bits, threads)
            theirs = json.loads(output([sys.executable, __file__, *one_turn(arguments, files[quant], threads)]))
            for test, row in mine.items():
                results.setdefault((bits, quant, threads, test), []).append((row, theirs[test]))


def parse():
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser = argparse.ArgumentParser(description="otaro beside llama.cpp")
    parser.add_argument("--shape", default="llama3.2-1b", help="a shape of `otaro bench --help`")
    parser.add_argument("--pairs", type=pairs, default=pairs("3:Q4_0,5:Q6_K,7:Q8_0"), help="BITS:QUANT,...")
    parser.add_argument("--threads", type=numbers, default=[2, 1])
    parser.add_argument("--depth", type=numbers, default=[0], help="tokens in the context before a test")
    parser.add_argument("-p", "--prompt", type=int, default=128, help="tokens of a prompt; 0 for no such test")
    parser.add_argument("-n", "--generate", type=int, default=64, help="tokens to generate; 0 for no such test")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="timed runs of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pure", action="store_true", help="quantise every matrix alike, the embedding too")
    parser.add_argument("--otaro", default=str(PROJECT / "target" / "release" / "otaro"))
    parser.add_argument("--one-turn", metavar="FILE", help=argparse.SUPPRESS)
    return parser.parse_args()


def pairs(text):
    return [(int(bits), quant) for bits, quant in (pair.split(":") for pair in text.split(","))]


def tests(arguments):
    """(prompt, generate, depth), by depth."""
    kinds = [(arguments.prompt, 0), (0, arguments.generate)]
    return [(*kind, depth) for depth in sorted(arguments.depth) for kind in kinds if any(kind)]


def name(test):
    prompt, generate, depth = test
    return (f"pp{prompt}" if prompt else f"tg{generate}") + (f" @ d{depth}" if depth else "")


def use_venv():
    """Goes on in the virtual environment, which is made if it is not there."""
    if not VENV_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    if Path(sys.prefix).resolve() == (FOLDER / "venv").resolve():
        return
    has_packages = subprocess.run([VENV_PYTHON, "-c", "import gguf, llama_cpp"], capture_output=True).returncode == 0
    if not has_packages:
        print("building llama.cpp: some minutes", file=sys.stderr)
        install = [VENV_PYTHON, "-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python", *PACKAGES]
        subprocess.run(install, check=True)
    os.execv(VENV_PYTHON, [VENV_PYTHON, *sys.argv])


def output(command):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with status {result.returncode}")
    return result.stdout


def otaro_file(arguments):
    """The random weights of the shape, which `otaro bench` writes before its first test."""
    models = FOLDER / "models"
    command = [arguments.otaro, "bench", "--shape", arguments.shape, "--cache", models, "--device", "cpu"]
    rows = output([*command, "--bits", "3", "-p", "0", "-n", "1", "-r", "1", "--probe", "0", "-o", "json"])
    return Path(json.loads(rows)[0]["file"])


def otaro_turn(arguments, file, bits, threads):
    """Rows by test, each with its speed in tokens per second."""
    lengths = ["-p", arguments.prompt, "-n", arguments.generate, "-d", ",".join(map(str, sorted(arguments.depth)))]
    command = [arguments.otaro, "bench", file, "--device", "cpu", "--bits", bits, "-t", threads, *lengths]
    rows = json.loads(output([*command, "-r", arguments.repetitions, "-o", "json"]))
    return {row["test"]: row for row in rows}


def gguf_file(arguments, ours, architecture, quant):
    """Random weights of the same shape in one of llama.cpp's quantisations."""
    shape = ours.name.removesuffix(".sefp.safetensors")
    path = ours.with_name(f"{shape}-{quant}{'-pure' if arguments.pure else ''}.gguf")
    if path.exists():
        return path
    unquantised = ours.with_name(f"{shape}-F16.gguf")
    if not unquantised.exists():
        write_gguf(unquantised, architecture)
    import llama_cpp

    print(f"quantising {path.name}", file=sys.stderr)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quant}")
    parameters.pure = arguments.pure
    silence(llama_cpp)
    partial = path.with_suffix(".partial")
    if llama_cpp.llama_model_quantize(bytes(unquantised), bytes(partial), ctypes.byref(parameters)) != 0:
        sys.exit(f"llama.cpp cannot quantise to {quant}")
    partial.rename(path)
    return path


def write_gguf(path, a):
    import gguf
    import numpy

    print(f"writing {path.name}", file=sys.stderr)
    partial = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, "llama", use_temp_file=False)
    writer.add_context_length(a["context_length"])
    writer.add_embedding_length(a["hidden_size"])
    writer.add_block_count(a["layers"])
    writer.add_feed_forward_length(a["intermediate_size"])
    writer.add_head_count(a["heads"])
    writer.add_head_count_kv(a["kv_heads"])
    writer.add_key_length(a["head_dim"])
    writer.add_value_length(a["head_dim"])
    writer.add_rope_dimension_count(a["head_dim"])
    writer.add_rope_freq_base(a["rope_theta"])
    writer.add_layer_norm_rms_eps(a["rms_norm_eps"])
    writer.add_vocab_size(a["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    shapes = gguf_shapes(a)
    for tensor, shape in shapes.items():
        dtype = numpy.float32 if len(shape) == 1 else numpy.float16
        writer.add_tensor_info(tensor, shape, numpy.dtype(dtype), numpy.dtype(dtype).itemsize * int(numpy.prod(shape)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    noise = numpy.random.default_rng(1).uniform(-1, 1, 1_048_573)
    for shape in shapes.values():
        values = numpy.ones(shape, numpy.float32)
        if len(shape) == 2:
            # The variance 1 / in. A million numbers over and over: no kernel can tell.
            values = numpy.resize((noise * (3 / shape[1]) ** 0.5).astype(numpy.float16), shape)
        writer.write_tensor_data(values)
    writer.close()
    partial.rename(path)


def gguf_shapes(a):
    """Every tensor, `[out, in]`."""
    hidden, query, kv = a["hidden_size"], a["heads"] * a["head_dim"], a["kv_heads"] * a["head_dim"]
    shapes = {"token_embd.weight": (a["vocab_size"], hidden), "output_norm.weight": (hidden,)}
    if not a["tied_head"]:
        shapes["output.weight"] = (a["vocab_size"], hidden)
    layer = {
        "attn_norm": (hidden,),
        "attn_q": (query, hidden),
        "attn_k": (kv, hidden),
        "attn_v": (kv, hidden),
        "attn_output": (hidden, query),
        "ffn_norm": (hidden,),
        "ffn_gate": (a["intermediate_size"], hidden),
        "ffn_up": (a["intermediate_size"], hidden),
        "ffn_down": (hidden, a["intermediate_size"]),
    }
    for index in range(a["layers"]):
        shapes.update({f"blk.{index}.{key}.weight": shape for key, shape in layer.items()})
    return shapes


def one_turn(arguments, file, threads):
    lengths = ["--prompt", arguments.prompt, "--generate", arguments.generate, "--repetitions", arguments.repetitions]
    depths = ",".join(map(str, arguments.depth))
    return ["--one-turn", file, "--threads", threads, "--depth", depths, *lengths]


def llama_cpp_turn(arguments):
    """What `otaro bench` does, through llama.cpp's own interface; prints JSON."""
    import llama_cpp

    silence(llama_cpp)
    llama_cpp.llama_backend_init()
    file = arguments.one_turn
    model = llama_cpp.llama_model_load_from_file(bytes(Path(file)), llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = max(sum(test) for test in tests(arguments))
    parameters.n_batch = BATCH
    parameters.n_threads = parameters.n_threads_batch = arguments.threads[0]
    context = llama_cpp.llama_init_from_model(model, parameters) if model else None
    if not context:
        sys.exit(f"llama.cpp cannot open {file}")
    memory = llama_cpp.llama_get_memory(context)
    vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def batches(count, size):
        """Random tokens, `size` to a batch."""
        sizes = [min(size, count - begin) for begin in range(0, count, size)]
        arrays = [(llama_cpp.llama_token * size)(*random.choices(range(vocab_size), k=size)) for size in sizes]
        return [(array, llama_cpp.llama_batch_get_one(array, len(array))) for array in arrays]

    def decode(batches):
        for _, batch in batches:
            if llama_cpp.llama_decode(context, batch) != 0:
                sys.exit("llama.cpp cannot decode")
        llama_cpp.llama_synchronize(context)

    rows, position = {}, 0
    for prompt, generate, depth in tests(arguments):
        llama_cpp.llama_memory_seq_rm(memory, 0, position, -1)
        decode(batches(depth - position, BATCH))
        position = depth
        work = batches(prompt, BATCH) + batches(generate, 1)
        speeds = []
        for run in range(arguments.repetitions + 1):
            llama_cpp.llama_memory_seq_rm(memory, 0, depth, -1)
            start = time.perf_counter()
            decode(work)
            # The first run is for warming up.
            if run > 0:
                speeds.append((prompt + generate) / (time.perf_counter() - start))
        rows[name((prompt, generate, depth))] = {"avg_ts": statistics.mean(speeds)}
    for row in rows.values():
        row.update(weight_bytes=weight_bytes(file), peak_resident_bytes=peak())
    print(json.dumps(rows))


def weight_bytes(file):
    """Bytes of the weights that a token reads: of an embedding that is not the head, one row."""
    import gguf

    sizes = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(file).tensors}
    return sum(sizes.values()) - (sizes["token_embd.weight"] if "output.weight" in sizes else 0)


def peak():
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None


def silence(llama_cpp):
    """Keeps llama.cpp's log to itself; the callback must outlive every call."""
    global quiet
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))


def report(arguments, results):
    median = lambda values: statistics.median(values)
    mebi = lambda values: "-" if None in values else f"{max(values) / 2**20:.0f}"
    print(f"{arguments.shape}: otaro / llama.cpp, up to {arguments.turns} turns of {arguments.repetitions} runs\n")
    columns = ["otaro", "llama.cpp", "threads", "test", "t/s", "t/s", "ratio", "MB of weights", "of bandwidth", "peak MiB"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    bandwidths = {}
    for (bits, quant, threads, test), turns in results.items():
        mine, theirs = zip(*turns)
        speed = lambda rows: median([row["avg_ts"] for row in rows])
        ratio = median([a["avg_ts"] / b["avg_ts"] for a, b in turns])
        probes = [row["probe_bytes_per_second"] for row in mine]
        bandwidths.setdefault(threads, []).extend(probes)
        share = lambda rows: median([row["weight_bytes"] * row["avg_ts"] / probe for row, probe in zip(rows, probes)])
        shares = f"{share(mine):.2f} / {share(theirs):.2f}" if test.startswith("tg") else "-"
        weights = " / ".join(f"{rows[0]['weight_bytes'] / 1e6:.1f}" for rows in (mine, theirs))
        peaks = " / ".join(mebi([row["peak_resident_bytes"] for row in rows]) for rows in (mine, theirs))
        cells = [f"E5M{bits}", quant, threads, test, f"{speed(mine):.1f}", f"{speed(theirs):.1f}", f"{ratio:.2f}"]
        print("| " + " | ".join(map(str, [*cells, weights, shares, peaks])) + " |")
    print()
    for threads, values in bandwidths.items():
        spread = f"{min(values) / 1e9:.1f} to {max(values) / 1e9:.1f}"
        print(f"Read bandwidth with {threads} threads: {median(values) / 1e9:.1f} GB/s ({spread}).")


if __name__ == "__main__":
    main()
