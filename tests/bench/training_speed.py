"""Seconds per training step: otaro-train beside PyTorch, same model, batch and precision, in one run.

    python3 -m venv target/bench && target/bench/bin/pip install torch --index-url ...   (or any PyTorch)
    cargo build --release -p otaro-trainer --example training_speed
    target/bench/bin/python tests/bench/training_speed.py CONFIG.json

Both train a LLaMA of the configuration on random tokens with AdamW, all matrices fake-quantised to E5M4
with a straight-through gradient. The two take turns, so that a busy machine slows both. Prints a table
in Markdown: median seconds per step, tokens per second, ratio, peak resident memory.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

MANTISSA_BITS = 4


def main():
    parser = argparse.ArgumentParser(description="otaro-train beside PyTorch")
    parser.add_argument("config", help="config.json of a LLaMA model")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--ours", default="target/release/examples/training_speed")
    parser.add_argument("--one-turn", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_turn:
        return torch_turn(arguments)
    times = {"otaro-train": [], "PyTorch f32": []}
    memory = {}
    for _ in range(arguments.turns):
        for name, command in commands(arguments).items():
            seconds, peak = turn(command)
            times[name].append(seconds)
            memory[name] = max(memory.get(name, 0), peak)
    report(arguments, times, memory)


def commands(arguments):
    shared = [arguments.config, "--batch", arguments.batch, "--length", arguments.length, "--steps", arguments.steps]
    shared += ["--threads", arguments.threads]
    micro_batch = max(1, arguments.batch // (2 * arguments.threads))
    ours = [arguments.ours, *shared, "--bits", MANTISSA_BITS, "--micro-batch", micro_batch]
    theirs = [sys.executable, __file__, *shared, "--one-turn"]
    return {"otaro-train": [str(word) for word in ours], "PyTorch f32": [str(word) for word in theirs]}


def turn(command):
    """Median seconds per step and peak memory in MiB of one run of a command."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} ended with status {status}")
    seconds = [float(value) for value in re.findall(r"^step seconds ([0-9.]+)$", output, re.MULTILINE)]
    return statistics.median(seconds), usage.ru_maxrss / 1024


def report(arguments, times, memory):
    tokens = arguments.batch * arguments.length
    base = statistics.median(times["PyTorch f32"])
    print("| | s/step | tokens/s | speed over PyTorch | peak MiB |\n|---|---|---|---|---|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.3f} | {tokens / median:.0f} | {base / median:.2f} | {memory[name]:.0f} |")


def torch_turn(arguments):
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    with open(arguments.config) as file:
        config = json.load(file)
    weights = make_weights(torch, config)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    tables = rotary_tables(torch, config, arguments.length)
    for step in range(arguments.steps + 2):
        tokens = torch.randint(0, config["vocab_size"], (arguments.batch, arguments.length + 1))
        start = time.perf_counter()
        quantised = {name: fake_quantise(torch, weight) for name, weight in weights.items()}
        hidden = forward(torch, config, quantised, tables, tokens[:, :-1])
        logits = hidden @ quantised["head" if "head" in quantised else "embed"].T
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        if step >= 2:
            print(f"step seconds {time.perf_counter() - start:.6f}")


def make_weights(torch, config):
    width, ffn = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim") or width // config["num_attention_heads"]
    query, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    shapes = {"embed": (config["vocab_size"], width), "norm": (width,)}
    if not config.get("tie_word_embeddings", False):
        shapes["head"] = (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        shapes |= {
            f"{layer}.norm1": (width,), f"{layer}.norm2": (width,),
            f"{layer}.q": (query, width), f"{layer}.k": (kv, width), f"{layer}.v": (kv, width),
            f"{layer}.o": (width, query), f"{layer}.gate": (ffn, width), f"{layer}.up": (ffn, width),
            f"{layer}.down": (width, ffn),
        }
    tensor = lambda shape: torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.02
    return {name: tensor(shape).requires_grad_() for name, shape in shapes.items()}


def rotary_tables(torch, config, length):
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = config.get("rope_theta", 10000.0) ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(length), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(torch, x, tables):
    cos, sin = tables
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


def forward(torch, config, weights, tables, tokens):
    functional = torch.nn.functional
    batch, length = tokens.shape
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    norm = lambda x, name: functional.rms_norm(x, x.shape[-1:], weights[name], config["rms_norm_eps"])
    x = functional.embedding(tokens, weights["embed"])
    for layer in range(config["num_hidden_layers"]):
        split = lambda x, count: x.view(batch, length, count, -1).transpose(1, 2)
        y = norm(x, f"{layer}.norm1")
        query = rotate(torch, split(y @ weights[f"{layer}.q"].T, heads), tables)
        key = rotate(torch, split(y @ weights[f"{layer}.k"].T, kv_heads), tables)
        value = split(y @ weights[f"{layer}.v"].T, kv_heads)
        attended = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=heads != kv_heads
        )
        x = x + attended.transpose(1, 2).reshape(batch, length, -1) @ weights[f"{layer}.o"].T
        y = norm(x, f"{layer}.norm2")
        gate = functional.silu(y @ weights[f"{layer}.gate"].T)
        x = x + (gate * (y @ weights[f"{layer}.up"].T)) @ weights[f"{layer}.down"].T
    return norm(x, "norm")


def fake_quantise(torch, weight):
    """E5M4 with midpoint reconstruction; the gradient passes straight through."""
    if weight.dim() == 1:
        return weight
    with torch.no_grad():
        rows, cols = weight.shape
        padded = torch.nn.functional.pad(weight, (0, -cols % 64)).view(rows, -1, 64)
        largest = padded.abs().amax(-1, keepdim=True)
        exponent = (torch.frexp(largest).exponent - 1).clamp(-14, 15)
        code = torch.floor(padded.abs() * torch.exp2(7.0 - exponent))
        code = torch.where(padded < 0, 255 - code, 256 + code)
        code = torch.floor(code / 2 ** (8 - MANTISSA_BITS))
        step = torch.exp2(exponent - MANTISSA_BITS + 1.0) * (largest > 0)
        value = ((code - 2**MANTISSA_BITS + 0.5) * step).view(rows, -1)[:, :cols]
    return weight + (value - weight).detach()


if __name__ == "__main__":
    main()
