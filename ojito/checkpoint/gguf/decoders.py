"""Language models in GGUF: their metadata as the fields of their public config.json, and the names of their tensors.

What those fields mean, `huggingface.decoders` says; here is what the metadata leaves out, as llama.cpp fills it in.

Source: llama.cpp's `llama-model.cpp` and its conversion of Hugging Face folders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.gguf.opened import OpenGguf
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.fields import Fields, known
from ojito.checkpoint.keys import Key, Table
from ojito.config import DecoderConfig, RopeScaling
from ojito.settings import Settings

ROPE_FACTORS = "rope_freqs.weight"
"""What each rotary frequency is divided by: Llama 3's scaling, which the metadata does not tell."""

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_NORMS = ("attention_norm", "mlp_norm", "attention_post_norm", "mlp_post_norm", "attention.q_norm", "attention.k_norm")


@dataclass(frozen=True)
class GgufDecoder:
    """One architecture.

    Attributes:
        model_type: Its name in `DECODERS`.
        more: Its prefix in the metadata, and the metadata, to more fields of config.json than all have.
        interleaved: Whether the rows of queries and keys are in the order of neighbouring pairs.
        plus_one: Whether 1 was added to the weights of norms.
    """

    model_type: str
    more: Callable[[str, Fields], Settings]
    interleaved: bool = False
    plus_one: bool = False


def _nothing(a: str, f: Fields) -> Settings:
    return {}


def _gemma2(a: str, f: Fields) -> Settings:
    return {
        "attn_logit_softcapping": f.number(f"{a}.attn_logit_softcapping", default=50.0),
        "final_logit_softcapping": f.number(f"{a}.final_logit_softcapping", default=30.0),
        "sliding_window": f.integer(f"{a}.attention.sliding_window", default=4096),
        "query_pre_attn_scalar": _scalar(a, f, largest=46),
    }


def _gemma3(a: str, f: Fields) -> Settings:
    full = {"rope_type": "default", "rope_theta": f.number(f"{a}.rope.freq_base", default=1e6), **_scaling(a, f)}
    local = {"rope_type": "default", "rope_theta": f.number(f"{a}.rope.freq_base_swa", default=10000.0)}
    return {
        "rope_parameters": {"full_attention": full, "sliding_attention": local},
        "final_logit_softcapping": f.number(f"{a}.final_logit_softcapping", default=0.0) or None,
        "sliding_window": f.integer(f"{a}.attention.sliding_window", default=1024),
        "query_pre_attn_scalar": _scalar(a, f, largest=62),
    }


def _scalar(a: str, f: Fields, largest: int) -> int:
    """What scores are divided by the root of: a head's size; in the largest model of the family, width / heads."""
    heads, width = _needed(a, f, "attention.head_count"), _needed(a, f, "embedding_length")
    return width // max(heads, 1) if _needed(a, f, "block_count") == largest else _head_dim(a, f)


GGUF_DECODERS: dict[str, GgufDecoder] = {
    "llama": GgufDecoder("llama", _nothing, interleaved=True),
    "qwen2": GgufDecoder("qwen2", _nothing),
    "qwen3": GgufDecoder("qwen3", _nothing),
    "gemma": GgufDecoder("gemma", _nothing, plus_one=True),
    "gemma2": GgufDecoder("gemma2", _gemma2, plus_one=True),
    "gemma3": GgufDecoder("gemma3_text", _gemma3, plus_one=True),
}
"""By `general.architecture`; SmolLM2's is "llama"."""


def read_decoder(opened: OpenGguf) -> Settings:
    """The settings of the decoder in a file.

    Raises:
        CheckpointError: An architecture that Ojito does not have, metadata that is missing, or that it cannot follow.
    """
    f, a = opened.fields, opened.text.architecture
    if a not in GGUF_DECODERS:
        raise f.error("general.architecture", a, known(GGUF_DECODERS))
    its = GGUF_DECODERS[a]
    for name in (f"{a}.expert_count", f"{a}.attention.scale", f"{a}.attention.causal"):
        f.demand(name, {f"{a}.attention.causal": True}.get(name, 0))
    head_dim = _head_dim(a, f)
    f.demand(f"{a}.attention.value_length", head_dim)
    f.demand(f"{a}.rope.dimension_count", head_dim)
    heads = _needed(a, f, "attention.head_count")
    fields: Settings = {
        "hidden_size": _needed(a, f, "embedding_length"),
        "num_hidden_layers": _needed(a, f, "block_count"),
        "intermediate_size": _needed(a, f, "feed_forward_length"),
        "max_position_embeddings": _needed(a, f, "context_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": f.integer(f"{a}.attention.head_count_kv", default=heads),
        "head_dim": head_dim,
        "rms_norm_eps": _eps(a, f),
        "vocab_size": _vocab_size(opened),
        "tie_word_embeddings": _HEAD not in opened.header,
    }
    if its.model_type != "gemma3_text":
        rope = {"rope_type": "default", **_scaling(a, f), **_llama3(opened)}
        fields["rope_parameters"] = {"rope_theta": f.number(f"{a}.rope.freq_base", default=10000.0), **rope}
    if its.model_type == "llama":
        fields["attention_bias"] = fields["mlp_bias"] = "blk.0.attn_output.bias" in opened.header
    return DECODERS[its.model_type].read(Fields({**fields, **its.more(a, f)}, str(opened.path)))


def write_decoder(architecture: str, c: DecoderConfig) -> Settings:
    """A decoder's config as the metadata of an architecture: real numbers as such, even where the config has 10000."""
    a = architecture
    values: Settings = {
        f"{a}.context_length": c.max_positions,
        f"{a}.embedding_length": c.width,
        f"{a}.block_count": c.layers,
        f"{a}.feed_forward_length": c.mlp_dim,
        f"{a}.vocab_size": c.vocab_size,
        f"{a}.attention.head_count": c.heads,
        f"{a}.attention.head_count_kv": c.kv_heads,
        f"{a}.attention.key_length": c.head_dim,
        f"{a}.attention.value_length": c.head_dim,
        f"{a}.attention.layer_norm_rms_epsilon": float(c.norm_eps),
        f"{a}.rope.dimension_count": c.head_dim,
        f"{a}.rope.freq_base": float(c.rope_theta),
    }
    if c.rope_scaling.kind == "linear":
        values |= {f"{a}.rope.scaling.type": "linear", f"{a}.rope.scaling.factor": float(c.rope_scaling.factor)}
    if c.window:
        values[f"{a}.attention.sliding_window"] = c.window
    if a == "gemma3":
        values[f"{a}.rope.freq_base_swa"] = float(c.window_theta)
    for name, cap in (("attn_logit_softcapping", c.attention_softcap), ("final_logit_softcapping", c.final_softcap)):
        if cap or a == "gemma2":
            values[f"{a}.{name}"] = float(cap)
    return values


def _needed(a: str, f: Fields, name: str) -> int:
    """A whole number that every file has.

    Raises:
        CheckpointError: This one does not, or has it 0.
    """
    number = f.integer(f"{a}.{name}", default=0)
    if not number:
        raise CheckpointError(f.where, f"has no {a}.{name} in its metadata", "use the file of a whole language model")
    return number


def _head_dim(a: str, f: Fields) -> int:
    usual = _needed(a, f, "embedding_length") // _needed(a, f, "attention.head_count")
    return f.integer(f"{a}.attention.key_length", f"{a}.rope.dimension_count", default=usual)


def _eps(a: str, f: Fields) -> float:
    name = f"{a}.attention.layer_norm_rms_epsilon"
    if f.get(name) is None:
        raise CheckpointError(f.where, f"has no {name} in its metadata", "use the file of a whole language model")
    return f.number(name, default=0.0)


def _vocab_size(opened: OpenGguf) -> int:
    """Rows of the embedding, of which the vocabulary may have fewer."""
    entry = opened.header.get(_EMBEDDING)
    if entry is None or len(entry.shape) != 2:
        raise CheckpointError(opened.path, f"has no {_EMBEDDING}", "use the file of a whole language model")
    return entry.shape[0]


def _scaling(a: str, f: Fields) -> Settings:
    """How rotary frequencies are scaled, where the metadata says it."""
    kind = f.get(f"{a}.rope.scaling.type")
    factor = f.number(f"{a}.rope.scaling.factor", f"{a}.rope.scale_linear", default=1.0)
    if kind in (None, "none") and factor in (0.0, 1.0):
        return {}
    if kind not in (None, "linear"):
        raise f.error(f"{a}.rope.scaling.type", kind, "Ojito has none and linear, and Llama 3's")
    return {"rope_type": "linear", "factor": factor}


def _llama3(opened: OpenGguf) -> Settings:
    """Llama 3's scaling, recognized by what it divides the frequencies by: nothing, or `factor`, or in between."""
    if ROPE_FACTORS not in opened.header:
        return {}
    found = opened.tensors.read(ROPE_FACTORS).float()
    usual = RopeScaling("llama3", float(found.max()), 1.0, 4.0, 8192)
    return {
        "rope_type": "llama3",
        "factor": usual.factor,
        "low_freq_factor": usual.low,
        "high_freq_factor": usual.high,
        "original_max_position_embeddings": usual.original_positions,
    }


def rope_factors(config: DecoderConfig) -> Tensor:
    """What Llama 3's scaling divides each rotary frequency by: (head_dim / 2,) float32, `ROPE_FACTORS`."""
    scaling = config.rope_scaling
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    turns = scaling.original_positions / config.rope_theta**exponents / (2 * torch.pi)
    share = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return 1 / ((1 - share) / scaling.factor + share)


def constants(config: DecoderConfig) -> Mapping[str, Callable[[], Tensor]]:
    """The tensors that follow from the config, by name."""
    return {ROPE_FACTORS: lambda: rope_factors(config)} if config.rope_scaling.kind == "llama3" else {}


def decoder_table(architecture: str, config: DecoderConfig) -> Table:
    """Our names to those of an architecture's files."""
    its = GGUF_DECODERS[architecture]
    q, k = (heads if its.interleaved else 0 for heads in (config.heads, config.kv_heads))
    table: dict[str, str | Key] = {
        "embedding": "token_embd",
        "blocks.*.attention_norm": "blk.*.attn_norm",
        "blocks.*.attention.q": Key("blk.*.attn_q", heads=q),
        "blocks.*.attention.k": Key("blk.*.attn_k", heads=k),
        "blocks.*.attention.v": "blk.*.attn_v",
        "blocks.*.attention.q_norm": "blk.*.attn_q_norm",
        "blocks.*.attention.k_norm": "blk.*.attn_k_norm",
        "blocks.*.attention.out": "blk.*.attn_output",
        "blocks.*.attention_post_norm": "blk.*.post_attention_norm",
        "blocks.*.mlp_norm": "blk.*.ffn_norm",
        "blocks.*.mlp_post_norm": "blk.*.post_ffw_norm",
        "blocks.*.mlp.gate": "blk.*.ffn_gate",
        "blocks.*.mlp.up": "blk.*.ffn_up",
        "blocks.*.mlp.down": "blk.*.ffn_down",
        "norm": "output_norm",
        "untied_head": "output",
    }
    if its.plus_one:
        norms = ["norm", *(f"blocks.*.{name}" for name in _NORMS)]
        table |= {name: Key(str(table[name]), plus_one=True) for name in norms}
    return table
