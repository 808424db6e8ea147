"""Public text decoders: their config.json and the names of their tensors, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.rope import read_rope, read_rope_by_layer_type, write_rope
from ojito.checkpoint.keys import Key, Table
from ojito.config import DecoderConfig
from ojito.settings import Settings


@dataclass(frozen=True)
class DecoderFamily:
    """One family of decoders.

    Attributes:
        model_type: How its config.json calls it.
        architecture: The name of the class with a head.
        table: Our names to theirs.
        read: Their fields to our settings.
        write: Our config to their fields.
        prefix: Before all of their names, but the head's.
    """

    model_type: str
    architecture: str
    table: Table
    read: Callable[[Fields], Settings]
    write: Callable[[DecoderConfig], dict[str, Any]]
    prefix: str = "model."


# --------------------------------------------------------------------------------------------------------------- tables

_LLAMA: Table = {
    "embedding": "embed_tokens",
    "blocks.*.attention_norm": "layers.*.input_layernorm",
    "blocks.*.attention.q": "layers.*.self_attn.q_proj",
    "blocks.*.attention.k": "layers.*.self_attn.k_proj",
    "blocks.*.attention.v": "layers.*.self_attn.v_proj",
    "blocks.*.attention.q_norm": "layers.*.self_attn.q_norm",
    "blocks.*.attention.k_norm": "layers.*.self_attn.k_norm",
    "blocks.*.attention.out": "layers.*.self_attn.o_proj",
    "blocks.*.mlp_norm": "layers.*.post_attention_layernorm",
    "blocks.*.mlp.gate": "layers.*.mlp.gate_proj",
    "blocks.*.mlp.up": "layers.*.mlp.up_proj",
    "blocks.*.mlp.down": "layers.*.mlp.down_proj",
    "norm": "norm",
}

# A trap: the same name stands for the norm before the MLP above, and for the one after attention here.
_GEMMA2: Table = {
    **_LLAMA,
    "blocks.*.attention_post_norm": "layers.*.post_attention_layernorm",
    "blocks.*.mlp_norm": "layers.*.pre_feedforward_layernorm",
    "blocks.*.mlp_post_norm": "layers.*.post_feedforward_layernorm",
}

# GPT-2 keeps its matrices as (in, out), and queries, keys and values as one.
_GPT2: Table = {
    "embedding": "wte",
    "positions": "wpe",
    "blocks.*.attention_norm": "h.*.ln_1",
    "blocks.*.attention.q": Key("h.*.attn.c_attn", transposed=True, part=0, parts=3),
    "blocks.*.attention.k": Key("h.*.attn.c_attn", transposed=True, part=1, parts=3),
    "blocks.*.attention.v": Key("h.*.attn.c_attn", transposed=True, part=2, parts=3),
    "blocks.*.attention.out": Key("h.*.attn.c_proj", transposed=True),
    "blocks.*.mlp_norm": "h.*.ln_2",
    "blocks.*.mlp.up": Key("h.*.mlp.c_fc", transposed=True),
    "blocks.*.mlp.down": Key("h.*.mlp.c_proj", transposed=True),
    "norm": "ln_f",
}

# -------------------------------------------------------------------------------------------------------------- configs

_GELU_TANH = {"gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}


def _read_sizes(f: Fields, **defaults: int) -> Settings:
    """Read the sizes, which all but GPT-2 name alike. The defaults are those of the reference's class.

    Where ours have a 0 for the usual size, it is written as that: presets do so, too.
    """
    width = f.integer("hidden_size", default=defaults["width"])
    heads = f.integer("num_attention_heads", default=defaults["heads"])
    kv_heads = f.integer("num_key_value_heads", default=defaults.get("kv_heads") or heads)
    head_dim = f.integer("head_dim", default=defaults.get("head_dim", 0))
    if "head_dim" not in defaults and head_dim * heads == width:
        head_dim = 0
    return {
        "vocab_size": f.integer("vocab_size", default=defaults["vocab_size"]),
        "width": width,
        "layers": f.integer("num_hidden_layers", default=defaults["layers"]),
        "heads": heads,
        "kv_heads": 0 if kv_heads == heads else kv_heads,
        "head_dim": head_dim,
        "mlp_dim": f.integer("intermediate_size", default=defaults["mlp_dim"]),
        "norm_eps": f.number("rms_norm_eps", default=1e-6),
        "max_positions": f.integer("max_position_embeddings", default=defaults["max_positions"]),
    }


def _write_sizes(c: DecoderConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "hidden_size": c.width,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "intermediate_size": c.mlp_dim,
        "rms_norm_eps": c.norm_eps,
        "max_position_embeddings": c.max_positions,
        "tie_word_embeddings": c.tied_head,
    }


def _read_llama(f: Fields) -> Settings:
    sizes = _read_sizes(f, vocab_size=32000, width=4096, layers=32, heads=32, mlp_dim=11008, max_positions=2048)
    f.demand("hidden_act", "silu")
    bias = f.flag("attention_bias", default=False)
    if f.flag("mlp_bias", default=False) != bias:
        raise f.error("mlp_bias", not bias, f"Ojito has only attention_bias's {bias}")
    tied = f.flag("tie_word_embeddings", default=False)
    return {**sizes, **read_rope(f, sizes["max_positions"]), "activation": "silu", "bias": bias, "tied_head": tied}


def _write_llama(c: DecoderConfig) -> dict[str, Any]:
    return {
        **_write_sizes(c),
        **write_rope(c),
        "hidden_act": "silu",
        "attention_bias": c.bias,
        "mlp_bias": c.bias,
    }


def _read_qwen2(f: Fields) -> Settings:
    sizes = _read_sizes(
        f, vocab_size=151936, width=4096, layers=32, heads=32, kv_heads=32, mlp_dim=22016, max_positions=32768
    )
    f.demand("hidden_act", "silu")
    f.demand("use_sliding_window", False)
    tied = f.flag("tie_word_embeddings", default=False)
    return {
        **sizes,
        **read_rope(f, sizes["max_positions"]),
        "activation": "silu",
        "query_bias": True,
        "tied_head": tied,
    }


def _write_qwen2(c: DecoderConfig) -> dict[str, Any]:
    return {**_write_sizes(c), **write_rope(c), "hidden_act": "silu", "use_sliding_window": False}


def _read_qwen3(f: Fields) -> Settings:
    sizes = _read_sizes(
        f, vocab_size=151936, width=4096, layers=32, heads=32, kv_heads=32, head_dim=128, mlp_dim=22016,
        max_positions=32768,
    )  # fmt: skip
    f.demand("hidden_act", "silu")
    f.demand("use_sliding_window", False)
    f.demand("attention_bias", False)
    tied = f.flag("tie_word_embeddings", default=False)
    return {
        **sizes,
        **read_rope(f, sizes["max_positions"]),
        "activation": "silu",
        "query_key_norm": True,
        "tied_head": tied,
    }


def _write_qwen3(c: DecoderConfig) -> dict[str, Any]:
    return {**_write_qwen2(c), "attention_bias": False}


def _read_gemma(f: Fields) -> Settings:
    sizes = _read_sizes(
        f, vocab_size=256000, width=3072, layers=28, heads=16, kv_heads=16, head_dim=256, mlp_dim=24576,
        max_positions=8192,
    )  # fmt: skip
    # The first releases say "gelu" and mean its tanh form.
    activation = f.choice("hidden_activation", "hidden_act", among={**_GELU_TANH, "gelu": "gelu_tanh"},
                          default="gelu_tanh")  # fmt: skip
    return {**sizes, **read_rope(f, sizes["max_positions"]), **_gemma_style(f), "activation": activation}


def _gemma_style(f: Fields) -> Settings:
    f.demand("attention_bias", False)
    tied = f.flag("tie_word_embeddings", default=True)
    return {"norm": "rms_plus_one", "scale_embeddings": True, "tied_head": tied}


def _write_gemma(c: DecoderConfig) -> dict[str, Any]:
    activation = {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}
    return {**_write_sizes(c), **write_rope(c), **activation, "attention_bias": False}


def _read_gemma2(f: Fields) -> Settings:
    sizes = _read_sizes(
        f, vocab_size=256000, width=2304, layers=26, heads=8, kv_heads=4, head_dim=256, mlp_dim=9216,
        max_positions=8192,
    )  # fmt: skip
    return {
        **sizes,
        **read_rope(f, sizes["max_positions"]),
        **_gemma_style(f),
        **_read_window(f, every=2, layers=sizes["layers"]),
        "activation": f.choice("hidden_activation", among=_GELU_TANH, default="gelu_tanh"),
        "post_norms": True,
        "query_scalar": _query_scalar(f, sizes["head_dim"]),
        "attention_softcap": _softcap(f, "attn_logit_softcapping", 50.0),
        "final_softcap": _softcap(f, "final_logit_softcapping", 30.0),
    }


def _query_scalar(f: Fields, head_dim: int) -> float:
    """0 where it is the usual one, as in presets."""
    scalar = f.number("query_pre_attn_scalar", default=256.0)
    return 0.0 if scalar == head_dim else scalar


def _softcap(f: Fields, name: str, default: float) -> float:
    """Read a softcap. A null means none, and not the default."""
    return 0.0 if name in f.values and f.values[name] is None else f.number(name, default=default)


def _read_window(f: Fields, every: int, layers: int) -> Settings:
    """The window, and which layers have it."""
    window = f.integer("sliding_window", default=4096)
    every = f.integer("sliding_window_pattern", "_sliding_window_pattern", default=every)
    if every < 1:
        raise f.error("sliding_window_pattern", every, "1 or more is needed")
    kinds = f.get("layer_types")
    if kinds is not None:
        # The length first: a config may ask for more layers than there is memory for their kinds.
        listed = isinstance(kinds, list) and len(kinds) == layers
        if listed and kinds != _kinds(layers, every):  # they overrule the pattern
            every = kinds.index("full_attention") + 1 if "full_attention" in kinds else layers + 1
        if not listed or kinds != _kinds(layers, every):
            raise f.error("layer_types", kinds, "Ojito has only a full layer after every so many with a window")
    return {"window": window, "full_every": every}


def _kinds(layers: int, every: int) -> list[str]:
    return ["sliding_attention" if layer % every else "full_attention" for layer in range(1, layers + 1)]


def _write_window(c: DecoderConfig) -> dict[str, Any]:
    return {
        "sliding_window": c.window,
        "sliding_window_pattern": c.full_every,
        "layer_types": _kinds(c.layers, c.full_every),
    }


def _write_gemma2(c: DecoderConfig) -> dict[str, Any]:
    return {
        **_write_gemma(c),
        **_write_window(c),
        "query_pre_attn_scalar": _whole(c.query_scalar),
        "attn_logit_softcapping": c.attention_softcap or None,
        "final_logit_softcapping": c.final_softcap or None,
    }


def _whole(number: float) -> float | int:
    """Return 256 for 256.0: the reference demands an integer."""
    return int(number) if float(number).is_integer() else number


def _read_gemma3(f: Fields) -> Settings:
    sizes = _read_sizes(
        f, vocab_size=262208, width=2304, layers=26, heads=8, kv_heads=4, head_dim=256, mlp_dim=9216,
        max_positions=131072,
    )  # fmt: skip
    f.demand("use_bidirectional_attention", False)
    f.demand("attn_logit_softcapping", None)  # the reference has the field, and does not follow it
    return {
        **sizes,
        **read_rope_by_layer_type(f, sizes["max_positions"]),
        **_gemma_style(f),
        **_read_window(f, every=6, layers=sizes["layers"]),
        "activation": f.choice("hidden_activation", among=_GELU_TANH, default="gelu_tanh"),
        "post_norms": True,
        "query_key_norm": True,
        "query_scalar": _query_scalar(f, sizes["head_dim"]),
        "final_softcap": _softcap(f, "final_logit_softcapping", 0.0),
    }


def _write_gemma3(c: DecoderConfig) -> dict[str, Any]:
    return {**_write_gemma2(c), "rope_local_base_freq": c.window_theta}


def _read_gpt2(f: Fields) -> Settings:
    width = f.integer("n_embd", "hidden_size", default=768)
    f.demand("scale_attn_weights", True)
    f.demand("scale_attn_by_inverse_layer_idx", False)
    return {
        "vocab_size": f.integer("vocab_size", default=50257),
        "width": width,
        "layers": f.integer("n_layer", "num_hidden_layers", default=12),
        "heads": f.integer("n_head", "num_attention_heads", default=12),
        "mlp_dim": f.integer("n_inner", default=4 * width),
        "mlp": "plain",
        "activation": f.choice("activation_function", among=_GELU_TANH | {"gelu": "gelu"}, default="gelu_tanh"),
        "norm": "layer",
        "norm_eps": f.number("layer_norm_epsilon", default=1e-5),
        "positions": "learned",
        "max_positions": f.integer("n_positions", "max_position_embeddings", default=1024),
        "bias": True,
        "tied_head": f.flag("tie_word_embeddings", default=True),
        "dropout": f.number("resid_pdrop", default=0.1),
        "attention_dropout": f.number("attn_pdrop", default=0.1) > 0,
    }


def _write_gpt2(c: DecoderConfig) -> dict[str, Any]:
    return {
        "vocab_size": c.vocab_size,
        "n_embd": c.width,
        "n_layer": c.layers,
        "n_head": c.heads,
        "n_inner": c.mlp_dim,
        "n_positions": c.max_positions,
        "activation_function": {"gelu_tanh": "gelu_new"}.get(c.activation, c.activation),
        "layer_norm_epsilon": c.norm_eps,
        "resid_pdrop": c.dropout,
        "embd_pdrop": c.dropout,
        "attn_pdrop": c.dropout * c.attention_dropout,
        "tie_word_embeddings": c.tied_head,
    }


DECODERS: dict[str, DecoderFamily] = {
    family.model_type: family
    for family in (
        DecoderFamily("llama", "LlamaForCausalLM", _LLAMA, _read_llama, _write_llama),
        DecoderFamily("qwen2", "Qwen2ForCausalLM", _LLAMA, _read_qwen2, _write_qwen2),
        DecoderFamily("qwen3", "Qwen3ForCausalLM", _LLAMA, _read_qwen3, _write_qwen3),
        DecoderFamily("gemma", "GemmaForCausalLM", _LLAMA, _read_gemma, _write_gemma),
        DecoderFamily("gemma2", "Gemma2ForCausalLM", _GEMMA2, _read_gemma2, _write_gemma2),
        DecoderFamily("gemma3_text", "Gemma3ForCausalLM", _GEMMA2, _read_gemma3, _write_gemma3),
        DecoderFamily("gpt2", "GPT2LMHeadModel", _GPT2, _read_gpt2, _write_gpt2, prefix="transformer."),
    )
}
"""By the name that their config.json has for them; SmolLM2 calls itself "llama"."""

HEAD: Table = {"untied_head": "lm_head"}


def copies(beginnings: Sequence[str]) -> dict[str, str]:
    """Return the names under which files may repeat the embedding as a tied head."""
    return {f"{beginning}lm_head.weight": "decoder.embedding.weight" for beginning in beginnings}


IGNORED = (r".*\brotary_emb\.inv_freq", r".*\bh\.\d+\.attn\.(bias|masked_bias)")
"""Constants that older files keep beside the weights."""
