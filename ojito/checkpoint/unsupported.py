"""Folders that Ojito does not load although they hold a model, or a part of one: what they are, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import CheckpointError

ADAPTER = "adapter_config.json"
_ADAPTER_FILES = (ADAPTER, "adapter_model.safetensors", "adapter_model.bin")


def check_supported(folder: Path | str, values: Mapping[str, Any] | None) -> None:
    """Refuse a folder of a kind that is known and not supported. Weights may still be missing: they are fetched last.

    Args:
        folder: A model's folder.
        values: The parsed config.json; None where there is none.

    Raises:
        CheckpointError: It holds an adapter, LLaVA's original form, or no model at all.
    """
    folder = Path(folder)
    _refuse_adapter(folder, values)


def _refuse_adapter(folder: Path, values: Mapping[str, Any] | None) -> None:
    names = [name for name in _ADAPTER_FILES if (folder / name).is_file()]
    if not names:
        return
    whole = values is not None and any(folder.glob("model*.safetensors"))
    problem = "holds an adapter beside its model" if whole else "holds an adapter, and not its model"
    try:
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        base = ""
    of = f" of {base}" if isinstance(base, str) and base and not whole else ""
    remedy = f"merge it into the model{of} (PEFT's merge_and_unload), save that, and give its folder"
    aside = f"; or move {', '.join(names)} elsewhere to load the model without it" if whole else ""
    raise CheckpointError(folder, problem, remedy + aside)
