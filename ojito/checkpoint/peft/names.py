"""Names of an adapter's tensors, in both directions.

    base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight
    └── PEFT's ────┘ └── the layer, in transformers ──────────────┘ └ PEFT's ───┘

The layer is called as its module in transformers is, in whatever layout the version had that wrote the file. Of a
model that transformers has not, such as one that Ojito saved, it is called as ours is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.keys import Key, KeyMap

PREFIX = "base_model.model."
PARTS = ("vision", "connector", "decoder")

_MATRIX = re.compile(r"(?P<layer>.+)\.lora_(?P<matrix>[AB])(?:\.default)?\.weight")
_SAVED = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")  # the first beside the adapter of a head


@dataclass(frozen=True)
class Names:
    """The tensors of a file.

    Attributes:
        layers: Layers that have both matrices, to their names in the file, A and B.
        whole: Other tensors, by their names without PEFT's prefix, to their names in the file.
    """

    layers: Mapping[str, tuple[str, str]]
    whole: Mapping[str, str]


def split_names(where: object, names: Collection[str]) -> Names:
    """Tell the matrices of adapters from whole tensors.

    Args:
        where: The file, for messages.
        names: All names in it.

    Raises:
        CheckpointError: One is not of PEFT's form, or of a kind that Ojito does not have; a matrix is without the
            other.
    """
    matrices: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for name in names:
        inner = name.removeprefix(PREFIX)
        match = _MATRIX.fullmatch(inner)
        if inner == name:
            problem, remedy = (
                f"has a tensor {name[:200]}",
                f"give an adapter of PEFT's form, whose names begin {PREFIX}",
            )
            raise CheckpointError(where, problem, remedy)
        if match:
            matrices.setdefault(match["layer"], {})[match["matrix"]] = name
        elif ".lora_" in inner:
            problem = f"has a tensor {name[:200]}, and Ojito adapts linear layers by A and B alone"
            raise CheckpointError(where, problem, "merge it into its model (PEFT's merge_and_unload)")
        else:
            whole[_SAVED.sub("", inner)] = name
    alone = [layer for layer, found in matrices.items() if len(found) < 2]
    if alone:
        raise CheckpointError(where, f"has only one matrix for {alone[0][:200]}", "copy the adapter again")
    return Names({layer: (found["A"], found["B"]) for layer, found in matrices.items()}, whole)


def to_ours(keys: KeyMap, names: Collection[str]) -> dict[str, dict[str, Key]]:
    """Return for names of tensors, in transformers or of ours, those of ours that are meant, and how they are stored.

    Args:
        keys: Of the base model.
        names: Without PEFT's prefix, with ".weight".
    """
    found = keys.owners(names)
    own = {name: {name: Key(name)} for name in names if name not in found and name.partition(".")[0] in PARTS}
    return found | own


def to_theirs(keys: KeyMap, layers: Collection[str]) -> dict[str, str] | None:
    """Return the names that layers of ours have in transformers; None where one of them is no layer there.

    Args:
        keys: Of the base model.
        layers: Names of linear layers.
    """
    if not keys.sections:
        return None
    resolved = keys.own_names().resolve([f"{layer}.weight" for layer in layers])
    if any(key.parts > 1 or key.heads or not key.name.endswith(".weight") for key in resolved.values()):
        return None
    return {layer: resolved[f"{layer}.weight"].name.removesuffix(".weight") for layer in layers}
