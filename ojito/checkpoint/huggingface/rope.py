"""RoPE settings of a public decoder, in the spellings that transformers takes, and conflicts as it resolves them.

    rope_theta: 5e5                                          beside the group, or within
    rope_scaling: {type: linear, factor: 4}                  until version 4; "rope_type" has come to be the name
    rope_parameters: {rope_type: linear, factor: 4, ...}     since version 5; `rope_scaling` beside it overrules it
    rope_parameters: {full_attention: {...}, sliding_attention: {...}}    Gemma 3, a group for each kind of layer

Source: transformers 5.23, modeling_rope_utils.RotaryEmbeddingConfigMixin.
"""

from __future__ import annotations

from typing import Any

from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import DecoderConfig
from ojito.settings import Settings

_KINDS = {"default": "none", "linear": "linear", "llama3": "llama3"}
_LAYER_TYPES = ("full_attention", "sliding_attention")


def read_rope(f: Fields, positions: int) -> Settings:
    """Base and scaling of a decoder all of whose layers turn alike.

    Args:
        f: The decoder's fields.
        positions: What its `max_position_embeddings` is.

    Raises:
        CheckpointError: A kind of scaling that Ojito has not, a number that is missing, groups for kinds of layers.
    """
    new, old = f.group("rope_parameters"), f.group("rope_scaling")
    how = old if old.values else new
    for layer_type in _LAYER_TYPES:
        if how.get(layer_type) is not None:
            raise how.error(layer_type, how.get(layer_type), "only Gemma 3 has settings for kinds of layers")
    f.demand("partial_rotary_factor", 1.0)
    # The number beside the group overrules the one within: the reference does so for the sake of Phi-3.
    original = f.integer("original_max_position_embeddings", default=0)
    return {
        "rope_theta": how.number("rope_theta", default=f.number("rope_theta", default=10000.0)),
        "rope_scaling": _read_scaling(how, positions, original),
    }


def read_rope_by_layer_type(f: Fields, positions: int) -> Settings:
    """Bases and scaling of Gemma 3, whose layers with a window have a base of their own and no scaling.

    Args:
        f: The decoder's fields.
        positions: What its `max_position_embeddings` is.

    Raises:
        CheckpointError: As for `read_rope`; scaling in the layers with a window; settings that the reference ignores.
    """
    new, old = f.group("rope_parameters"), f.group("rope_scaling")
    flat = [name for name in new.values if name not in _LAYER_TYPES]
    if len(flat) == len(new.values) > 0:
        name = flat[0]
        raise new.error(name, new.values[name], f"Gemma 3 needs a group for each of {', '.join(_LAYER_TYPES)}")
    f.demand("partial_rotary_factor", 1.0)
    windowed, full = new.group("sliding_attention"), new.group("full_attention")
    windowed.demand("partial_rotary_factor", 1.0)
    windowed.choice("rope_type", "type", among={"default": "none"}, default="none")
    # The reference adds `rope_scaling` to the group, and to {"rope_type": "default"} where there is none.
    merged = {**(full.values if new.values else {"rope_type": "default"}), **old.values}
    how = Fields(merged, old.where if old.values else full.where)
    older, kind = old.get("type"), how.get("rope_type")
    if older is not None and kind is not None and older != kind:
        raise old.error("type", older, "transformers ignores it here; say rope_type instead")
    return {
        "rope_theta": how.number("rope_theta", default=f.number("rope_theta", default=1e6)),
        "rope_scaling": _read_scaling(how, positions),
        "window_theta": windowed.number("rope_theta", default=f.number("rope_local_base_freq", default=10000.0)),
    }


def _read_scaling(how: Fields, positions: int, original: int = 0) -> Settings:
    """The settings of `RopeScaling`; none where the frequencies stay as they are.

    Args:
        how: The group.
        positions: What is taken where nothing says how long the texts of the first training were.
        original: Their length as it is said beside the group; 0 where it is not.
    """
    how.demand("partial_rotary_factor", 1.0)
    kind = how.choice("rope_type", "type", among=_KINDS, default="none")
    if kind == "none":
        return {}
    scaling: Settings = {"kind": kind, "factor": _required(how, "factor")}
    if kind == "llama3":
        scaling["low"] = _required(how, "low_freq_factor")
        scaling["high"] = _required(how, "high_freq_factor")
        within = how.integer("original_max_position_embeddings", default=positions)
        scaling["original_positions"] = original or within
    return scaling


def _required(how: Fields, name: str) -> float:
    if how.get(name) is None:
        raise how.error(name, None, f"a number is needed where rope_type is {how.text('rope_type', 'type')}")
    return how.number(name, default=0.0)


def write_rope(c: DecoderConfig) -> dict[str, Any]:
    """The fields, in the spelling of version 4, which every version reads."""
    scaling = c.rope_scaling
    if scaling.kind == "none":
        return {"rope_theta": c.rope_theta, "rope_scaling": None}
    written: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        written |= {
            "low_freq_factor": scaling.low,
            "high_freq_factor": scaling.high,
            "original_max_position_embeddings": scaling.original_positions,
        }
    return {"rope_theta": c.rope_theta, "rope_scaling": written}
