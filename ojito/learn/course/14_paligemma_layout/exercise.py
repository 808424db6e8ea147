"""Lesson 14: PaliGemma's files. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def plain_names(keys: Iterable[str]) -> dict[str, str]:
    """What we call the tensors of a PaliGemma's files, whichever of the four layouts their keys have.

    Args:
        keys: Of the tensors in the files.

    Returns:
        Our name for each key: "vision.layers.0.q_bias" for "vision_tower.encoder.layers.0.self_attn.q_proj.bias". A key
        that stands for no weight of ours is left out.
    """
    vision = {
        "embeddings.patch_embedding": "patch",
        "embeddings.position_embedding": "positions",
        "encoder.layers.*.layer_norm1": "layers.*.norm1",
        "encoder.layers.*.self_attn.q_proj": "layers.*.q",
        "encoder.layers.*.self_attn.k_proj": "layers.*.k",
        "encoder.layers.*.self_attn.v_proj": "layers.*.v",
        "encoder.layers.*.self_attn.out_proj": "layers.*.out",
        "encoder.layers.*.layer_norm2": "layers.*.norm2",
        "encoder.layers.*.mlp.fc1": "layers.*.up",
        "encoder.layers.*.mlp.fc2": "layers.*.down",
        "post_layernorm": "norm",
    }
    language = {
        "embed_tokens": "embedding",
        "layers.*.input_layernorm": "layers.*.norm1",
        "layers.*.self_attn.q_proj": "layers.*.q",
        "layers.*.self_attn.k_proj": "layers.*.k",
        "layers.*.self_attn.v_proj": "layers.*.v",
        "layers.*.self_attn.o_proj": "layers.*.out",
        "layers.*.post_attention_layernorm": ...,  # which of the two norms of lesson 9?
        "layers.*.mlp.gate_proj": "layers.*.gate",
        "layers.*.mlp.up_proj": "layers.*.up",
        "layers.*.mlp.down_proj": "layers.*.down",
        "norm": "norm",
        "lm_head": ...,  # a tied head: of which weight is it a copy?
    }
    table = {f"vision_tower.{theirs}": f"vision.{ours}" for theirs, ours in vision.items()}
    table |= {f"language_model.{theirs}": f"decoder.{ours}" for theirs, ours in language.items()}
    table |= {"multi_modal_projector.linear": "connector", "lm_head": f"decoder.{language['lm_head']}"}
    names = {}
    for key in keys:
        module, _, kind = key.rpartition(".")  # "language_model.model.layers.3.mlp.up_proj", "weight"
        module = module.removeprefix("model.")  # layouts B and D as A and C: "language_model.layers.3.mlp.up_proj"
        module = module.replace("language_model.model.", "language_model.")
        module = ...  # layouts A and B as C and D
        layer = re.search(r"\.(\d+)\.", module)  # ".3.", where there is one
        ours = table.get(re.sub(r"\.\d+\.", ".*.", module))  # the table has * for the layer's number
        if ours is not None and kind in ("weight", "bias"):
            name = ...  # "decoder.layers.3.up"
            names[key] = name + "_bias" * (kind == "bias")
    return names


def fill_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """All sizes of a PaliGemma, of which its config.json says only those that differ from the first one's.

    Args:
        config: What is in config.json, with the groups "vision_config" and "text_config". A field that is missing, or
            null, has its default; one that is 0 has not.

    Returns:
        "vision" and "decoder", with our names for their sizes; "image_token", "bos" and "eos".
    """

    def read(group: dict[str, Any], name: str, default: Any) -> Any:
        value = group.get(name)
        return ...  # JSON's null is Python's None

    vision, text = config["vision_config"], config["text_config"]
    rope = read(text, "rope_parameters", {})  # where transformers 5 has theta; older ones have it in `text` itself
    return {
        "vision": {
            "width": vision["hidden_size"],
            "mlp": vision["intermediate_size"],
            "layers": vision["num_hidden_layers"],
            "heads": vision["num_attention_heads"],
            "size": vision["patch_size"],
            "image_size": read(vision, "image_size", 224),
            "eps": read(vision, "layer_norm_eps", 1e-6),
        },
        "decoder": {
            "vocabulary": text["vocab_size"],
            "width": text["hidden_size"],
            "mlp": text["intermediate_size"],
            "layers": text["num_hidden_layers"],
            "heads": text["num_attention_heads"],
            "kv_heads": text["num_key_value_heads"],
            "head_size": read(text, "head_dim", ...),  # K of the first Gemma of 2B
            "theta": ...,  # the group first, then `text`
            "eps": read(text, "rms_norm_eps", 1e-6),
        },
        "image_token": config["image_token_index"],
        "bos": config["bos_token_id"],
        "eos": config["eos_token_id"],
    }


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a PaliGemma, by our name for it.

    Args:
        config: As `fill_defaults` returns it.
    """
    made: dict[str, tuple[int, ...]] = {}
    v, D, F = config["vision"], config["vision"]["width"], config["vision"]["mlp"]
    P = (v["image_size"] // v["size"]) ** 2
    made |= {"vision.patch": (D, 3 * v["size"] ** 2), "vision.patch_bias": (D,), "vision.positions": (P, D)}
    for layer in range(v["layers"]):
        for name in ("norm1", "norm2"):
            made |= {f"vision.layers.{layer}.{name}": (D,), f"vision.layers.{layer}.{name}_bias": (D,)}
        for name in ("q", "k", "v", "out"):
            made |= {f"vision.layers.{layer}.{name}": (D, D), f"vision.layers.{layer}.{name}_bias": (D,)}
        made |= {f"vision.layers.{layer}.up": (F, D), f"vision.layers.{layer}.up_bias": (F,)}
        made |= {f"vision.layers.{layer}.down": (D, F), f"vision.layers.{layer}.down_bias": (D,)}
    made |= {"vision.norm": (D,), "vision.norm_bias": (D,)}
    d = config["decoder"]
    V, W, F, H, G, K = (d[name] for name in ("vocabulary", "width", "mlp", "heads", "kv_heads", "head_size"))
    made |= {"connector": (W, D), "connector_bias": (W,), "decoder.embedding": (V, W), "decoder.norm": (W,)}
    of_layer = {
        "norm1": (W,), "q": (H * K, W), "k": (G * K, W), "v": (G * K, W), "out": (W, H * K),
        "norm2": (W,), "gate": (F, W), "up": (F, W), "down": (W, F),
    }  # fmt: skip
    for layer in range(d["layers"]):
        made |= {f"decoder.layers.{layer}.{name}": shape for name, shape in of_layer.items()}
    return made


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a PaliGemma's folder: all of its weights, or an error.

    Args:
        folder: With config.json and one or several *.safetensors.

    Returns:
        The weights by our names, in float32, and the config as `fill_defaults` returns it.

    Raises:
        ValueError: Weights are missing, unexpected, of another shape, or a copy differs from what it is a copy of; the
            message lists the keys, of missing ones our names.
    """
    config = fill_defaults(json.loads((folder / "config.json").read_text()))
    stored: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored |= load_file(file)
    expected = shapes(config)
    names = plain_names(stored)
    weights: dict[str, Tensor] = {}
    misshapen, differing = [], []
    for key, name in names.items():
        tensor = stored[key].float()
        if name == "vision.patch":
            tensor = ...  # (D, 3, size, size), a convolution's, as lesson 2 has it
        if name in expected and tensor.shape != expected[name]:
            misshapen.append(f"{key} is {tuple(tensor.shape)}, not {expected[name]}")
        if name in weights and not weights[name].equal(tensor):
            differing.append(f"{key} and another {name}")
        weights[name] = tensor
    missing = ...  # a list of names: what we need, and no file has
    unexpected = ...  # a list of keys: what a file has, and we do not need
    if missing or unexpected or misshapen or differing:
        found = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen, "not the same": differing}
        raise ValueError(
            f"{folder}: " + "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in found.items() if keys)
        )
    return weights, config
