"""A LLaMA model as GGUF, written as the Hugging Face folder that it once was.

    python3 gguf_folder.py MODEL.gguf FOLDER

Weights are dequantised to f16. The tokenizer, a byte-level BPE, is put together from the vocabulary and the merges in
the file. Needs numpy, gguf and safetensors.
"""

import json
import sys
from pathlib import Path

import numpy
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3


class Gguf:
    """A file and its fields by their names."""

    def __init__(self, path):
        self.reader = GGUFReader(path)

    def field(self, name, default=None):
        field = self.reader.fields.get(name)
        return default if field is None else field.contents()

    def config(self):
        number = lambda name: self.field(f"llama.{name}")
        heads, width = number("attention.head_count"), number("embedding_length")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": number("feed_forward_length"),
            "num_hidden_layers": number("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": number("attention.head_count_kv"),
            "head_dim": number("rope.dimension_count") or width // heads,
            "max_position_embeddings": number("context_length"),
            "rms_norm_eps": float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": number("rope.freq_base"),
            "rope_scaling": None,
            "attention_bias": False,
            "mlp_bias": False,
            "vocab_size": len(self.field("tokenizer.ggml.tokens")),
            "tie_word_embeddings": not any(tensor.name == "output.weight" for tensor in self.reader.tensors),
            "bos_token_id": self.field("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
            "torch_dtype": "float16",
        }

    def tensors(self, config):
        """Hugging Face names and f16 weights."""
        for tensor in self.reader.tensors:
            weights = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float16)
            name, layer = tensor.name.removesuffix(".weight"), None
            if name.startswith("blk."):
                _, layer, name = name.split(".")
            heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(name)
            if heads is not None:
                weights = rows_in_halves(weights, heads)
            if layer is None:
                yield f"{OTHER_TENSORS[name]}.weight", weights
            else:
                yield f"model.layers.{layer}.{LAYER_TENSORS[name]}.weight", weights

    def tokenizer(self):
        tokens, kinds = self.field("tokenizer.ggml.tokens"), self.field("tokenizer.ggml.token_type")
        special = [(index, token) for index, token in enumerate(tokens) if kinds[index] == CONTROL]
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
        digits = {"type": "Digits", "individual_digits": True}
        return {
            "version": "1.0",
            "added_tokens": [{"id": index, "content": token, **flags} for index, token in special],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [digits, {**byte_level, "add_prefix_space": False}],
            },
            "post_processor": None,
            "decoder": {**byte_level, "add_prefix_space": True},
            "model": {
                "type": "BPE",
                "vocab": {token: index for index, token in enumerate(tokens)},
                "merges": self.field("tokenizer.ggml.merges"),
            },
        }

    def tokenizer_config(self):
        tokens = self.field("tokenizer.ggml.tokens")
        named = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
        ids = {name: self.field(f"tokenizer.ggml.{kind}_token_id") for name, kind in named.items()}
        return {
            "tokenizer_class": "GPT2Tokenizer",
            "add_bos_token": bool(self.field("tokenizer.ggml.add_bos_token", False)),
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": self.field("llama.context_length"),
            "chat_template": self.field("tokenizer.chat_template"),
            **{name: tokens[index] for name, index in ids.items() if index is not None},
        }


def rows_in_halves(weights, heads):
    """GGUF has the two rows that a rotation mixes side by side, Hugging Face half a head apart."""
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return numpy.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(rows, columns)


def rows_in_pairs(weights, heads):
    """The inverse of `rows_in_halves`."""
    rows, columns = weights.shape
    halves = weights.reshape(heads, 2, rows // heads // 2, columns)
    return numpy.ascontiguousarray(halves.transpose(0, 2, 1, 3)).reshape(rows, columns)


def write_folder(gguf, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    gguf = Gguf(gguf)
    config = gguf.config()
    if gguf.field("general.architecture") != "llama" or gguf.field("tokenizer.ggml.model") != "gpt2":
        sys.exit(f"{folder}: only LLaMA models with a byte-level BPE are known here")
    save_file(dict(gguf.tensors(config)), folder / "model.safetensors", metadata={"format": "pt"})
    generation = {name: config[name] for name in ["bos_token_id", "eos_token_id"]}
    for name, content in {
        "config.json": config,
        "generation_config.json": generation,
        "tokenizer.json": gguf.tokenizer(),
        "tokenizer_config.json": gguf.tokenizer_config(),
    }.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_folder(sys.argv[1], sys.argv[2])
