"""adapter_config.json, in both directions. What Ojito does not compute is refused by name.

Source: PEFT `tuners/lora/config.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import ADAPTER, CheckpointError, read_json
from ojito.checkpoint.huggingface.fields import Fields
from ojito.settings import shown

MERGE = "merge it into its model (PEFT's merge_and_unload), save that, and give its folder"

_FOLLOWED = (
    "peft_type", "base_model_name_or_path", "revision", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias",
    "alpha_pattern", "init_lora_weights",
)  # fmt: skip
# Which layers have adapters, and of which rank, the tensors say. The others are of training or of other libraries.
_IGNORED = (
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save", "rank_pattern",
    "fan_in_fan_out", "task_type", "auto_mapping", "peft_version", "inference_mode", "megatron_core", "runtime_config",
    "loftq_config", "eva_config", "qalora_group_size", "ensure_weight_tying",
)  # fmt: skip
# Ways to begin that leave the base model's weights as they are; others change them, and need what they were changed to.
_BEGINNINGS = (True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class AdapterConfig:
    """What adapter_config.json says.

    Attributes:
        path: The file, for messages.
        base: The folder of the base model, or its name on the Hub; "" where it says nothing.
        revision: The branch, tag or commit of that name; "" where it says nothing.
        rank: Of most adapters.
        alpha: Scale of the adapters, before their rank divides it.
        rslora: Whether the root of the rank divides it.
        dropout: Of their input, in training.
        alphas: Other scales, by the ends of layers' names.
    """

    path: Path
    base: str
    revision: str
    rank: int
    alpha: float
    rslora: bool
    dropout: float
    alphas: Mapping[str, float]

    def alpha_of(self, layer: str) -> float:
        """The scale of a layer's adapter, by the layer's name in the file."""
        found = (alpha for name, alpha in self.alphas.items() if f".{layer}".endswith(f".{name}"))
        return next(found, self.alpha)


def read_adapter_config(folder: Path | str) -> AdapterConfig:
    """Read adapter_config.json.

    Raises:
        CheckpointError: It is missing or damaged, or asks for what Ojito does not have.
    """
    path = Path(folder) / ADAPTER
    f = Fields(read_json(folder, ADAPTER), str(path))
    if f.get("peft_type") != "LORA":
        raise CheckpointError(path, f"has peft_type {shown(f.get('peft_type'))}, and Ojito knows LORA", MERGE)
    for name, value in f.values.items():
        if value and name not in (*_FOLLOWED, *_IGNORED):
            raise CheckpointError(path, f"has {name[:100]} at {shown(value)}, which Ojito does not have", MERGE)
    if f.get("bias") not in (None, "none"):
        raise CheckpointError(path, f"has bias at {shown(f.get('bias'))}, and Ojito's adapters have none", MERGE)
    start = f.get("init_lora_weights")
    if start is not None and not any(start is one or start == one for one in _BEGINNINGS):
        problem = f"began with {shown(start)}, which changes the base model's weights"
        raise CheckpointError(
            path, problem, "convert it to a plain adapter (PEFT's path_initial_model_for_weight_conversion)"
        )
    alphas = f.group("alpha_pattern").values
    for name, value in alphas.items():
        plain = name.replace(".", "").replace("_", "").isalnum()
        if not plain or not isinstance(value, (int, float)) or isinstance(value, bool):
            raise CheckpointError(path, f"has a pattern {shown(name)} in alpha_pattern, and Ojito knows names", MERGE)
    return AdapterConfig(
        path,
        f.text("base_model_name_or_path") if f.get("base_model_name_or_path") is not None else "",
        f.text("revision") if f.get("revision") is not None else "",
        max(f.integer("r", default=8), 1),
        f.number("lora_alpha", default=8.0),
        f.flag("use_rslora", default=False),
        _share(f),
        {name: float(value) for name, value in alphas.items()},
    )


def _share(f: Fields) -> float:
    dropout = f.number("lora_dropout", default=0.0)
    if not 0 <= dropout < 1:
        raise f.error("lora_dropout", dropout, "at least 0 and less than 1 is needed")
    return dropout


def write_adapter_config(
    folder: Path,
    *,
    base: str,
    revision: str,
    architecture: tuple[str, str] | None,
    rank: int,
    alpha: float,
    rslora: bool,
    dropout: float,
    layers: Sequence[str],
    whole: Sequence[str],
) -> None:
    """Write adapter_config.json.

    Args:
        folder: That of `staged_save`.
        base: The base model's folder, or its name on the Hub.
        revision: Its commit; "" for none.
        architecture: The reference's class for the base model, and its model_type; None where it has none.
        rank: Of the adapters.
        alpha: Their scale, before the rank divides it.
        rslora: Whether the root of the rank divides it.
        dropout: Of their input.
        layers: Names of the layers that have them.
        whole: Names of the modules that learned in full.
    """
    mapping = None
    if architecture is not None:
        name, kind = architecture
        mapping = {"base_model_class": name, "parent_library": f"transformers.models.{kind}.modeling_{kind}"}
    values: dict[str, Any] = {
        "auto_mapping": mapping,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "lora_dropout": dropout,
        "modules_to_save": [*whole] or None,
        "peft_type": "LORA",
        "r": rank,
        "revision": revision or None,
        "target_modules": [*layers],
        "task_type": None,
        "use_rslora": rslora,
    }
    (folder / ADAPTER).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
