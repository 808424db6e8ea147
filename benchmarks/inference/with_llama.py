"""llama.cpp's part: the decoder alone, from a GGUF with random blocks, as node-llama-cpp carries it prebuilt."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inference.cases import Case
from ojito.config import DecoderConfig, ModelConfig

SCRIPT = Path(__file__).parent / "llama.mjs"
QUANTIZED = {"int8": "Q8_0", "int4": "Q4_0"}
"""The form of llama.cpp's that stands beside each of Ojito's."""


def missing(node: Path | None) -> str:
    """What is not there that llama.cpp needs; empty if nothing is."""
    if shutil.which("node") is None:
        return "node is not installed"
    if node is None or not (node / "node_modules" / "node-llama-cpp").is_dir():
        return "no --node FOLDER with node_modules/node-llama-cpp"
    try:
        import gguf  # noqa: F401
    except ImportError:
        return "the package gguf is not installed"
    return ""


def answer(case: Case, path: Path, config: ModelConfig, node: Path, threads: int) -> dict[str, Any]:
    """One answer about a prompt as long as image and text together."""
    length = case.prompt + (config.image_tokens if case.image else 0)
    words = ["node", str(SCRIPT), str(node), str(path), str(length), str(case.tokens), str(threads)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_gguf(path: Path, config: DecoderConfig, form: str) -> Path:
    """A GGUF of this shape: Gemma or LLaMA, blocks of random numbers, words that mean nothing."""
    import gguf

    kind = gguf.GGMLQuantizationType[QUANTIZED[form]]
    architecture = "gemma" if config.norm == "rms_plus_one" else "llama"
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.mlp_dim)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    add_words(writer, config.vocab_size)
    shapes = tensors(config)
    for name, shape in shapes.items():
        if len(shape) == 1:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * shape[0])
        else:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            packed = (shape[0], shape[1] // block * size)  # the writer is told bytes, and works out the numbers
            writer.add_tensor_info(name, packed, np.dtype(np.uint8), packed[0] * packed[1], raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = random_blocks(form)
    for shape in shapes.values():
        if len(shape) == 1:
            writer.write_tensor_data(np.ones(shape, dtype=np.float32))
        else:
            count = shape[0] * shape[1] // 32
            repeated = np.tile(blocks, (-(-count // len(blocks)), 1))[:count]
            writer.write_tensor_data(repeated.reshape(shape[0], -1))
    writer.close()
    return path


def tensors(c: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of a decoder, (outputs, inputs), as llama.cpp names them."""
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (c.vocab_size, c.width), "output_norm.weight": (c.width,)}
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    for layer in range(c.layers):
        of_layer = {
            "attn_norm": (c.width,), "ffn_norm": (c.width,), "attn_q": (queries, c.width), "attn_k": (keys, c.width),
            "attn_v": (keys, c.width), "attn_output": (c.width, queries), "ffn_gate": (c.mlp_dim, c.width),
            "ffn_up": (c.mlp_dim, c.width), "ffn_down": (c.width, c.mlp_dim),
        }  # fmt: skip
        found |= {f"blk.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return found


def random_blocks(form: str) -> np.ndarray:
    """Blocks of 32 numbers: a scale in float16, and a byte or half of one each."""
    count, rng = 2**16, np.random.default_rng(0)
    numbers = rng.integers(0, 256, (count, 32 if form == "int8" else 16), dtype=np.uint8)
    scale = np.full(count, 0.02 / (64 if form == "int8" else 4), dtype=np.float16)
    return np.concatenate((scale.view(np.uint8).reshape(count, 2), numbers), axis=1)


def add_words(writer: Any, size: int) -> None:
    """A vocabulary in which all bytes have a token."""
    words = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    words += [f"w{number}".encode() for number in range(size - len(words))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (size - 259)]  # unknown, control, byte, normal
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(number) for number in range(size)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
