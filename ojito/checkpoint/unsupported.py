"""Folders that Ojito does not load although they hold a model, or a part of one: what they are, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import ADAPTER, ADAPTER_FILES, BEFORE, CONFIG, INDEX, WEIGHTS, CheckpointError, read_json
from ojito.checkpoint.formats import folders_with, form_of_weights, packing
from ojito.checkpoint.tensors.header import read_header
from ojito.settings import shown

_ADDRESS = re.compile(r"[a-z][a-z0-9+]+:/{1,2}\S|(www\.)?(huggingface|hf)\.co/", re.IGNORECASE)  # C:/ is a drive

_LLAVA_FIELDS = ("mm_vision_tower", "mm_projector_type", "mm_hidden_size")
_LLAVA_TYPES = ("llava_llama", "llava_mistral", "llava_mixtral", "llava_mpt", "llava_qwen", "llava_qwen2")
_LLAVA_SIZES = {4096: "llava-hf/llava-1.5-7b-hf", 5120: "llava-hf/llava-1.5-13b-hf"}


def check_supported(folder: Path | str, values: Mapping[str, Any] | None) -> None:
    """Refuse a folder of a kind that is known and not supported. Weights may still be missing: they are fetched last.

    Args:
        folder: A model's folder.
        values: The parsed config.json; None where there is none.

    Raises:
        CheckpointError: It holds an adapter, LLaVA's original form, packed weights, or no model, of a kind that can be
            named. A missing config.json that nothing explains is left to whoever reads it.
    """
    folder = Path(folder)
    _refuse_adapter(folder, values)
    if values is None:
        _refuse_without_config(folder)
        return
    _refuse_original_llava(folder / CONFIG, values)
    _refuse_packed(folder, values)


def check_name(name: str) -> None:
    """Refuse a name that is recognizably not a model: a file, an address.

    Args:
        name: A path, or the name of a model; no folder.

    Raises:
        CheckpointError: It is a file, or an address.
    """
    path = Path(name)
    if _ADDRESS.match(name):
        raise CheckpointError(
            name, "is an address, and not that of a model on the Hugging Face Hub", "give owner/name, or a folder"
        )
    if path.is_file():
        home = path.resolve().parent
        known = (home / CONFIG).is_file()
        remedy = f"give its folder, {path.parent}" if known else "give a folder that holds a model"
        raise CheckpointError(name, "is a file", remedy)


def _refuse_adapter(folder: Path, values: Mapping[str, Any] | None) -> None:
    names = [name for name in ADAPTER_FILES if (folder / name).is_file()]
    if not names:
        return
    if values is not None and any(folder.glob("model*.safetensors")):
        raise CheckpointError(
            folder,
            "holds an adapter beside its model",
            f"move {', '.join(names)} to a folder of their own: give that, and this one as its base (--base), to load "
            "the model with the adapter, or this one to load it without",
        )
    if (folder / BEFORE).is_dir() and ADAPTER not in names:
        return  # a save was cut short
    if ADAPTER not in names:
        problem = f"holds an adapter without its {ADAPTER}"
        raise CheckpointError(folder, problem, "copy that file, too")
    base: Any = None
    with suppress(CheckpointError):
        base = read_json(folder, ADAPTER).get("base_model_name_or_path")
    into = f"{base}, the model that it was trained on" if isinstance(base, str) and base else "its model"
    remedy = f"merge it into {into} (ojito convert {folder} --to ojito --out MERGED), and give that folder"
    raise CheckpointError(folder, "holds an adapter, and not its model", remedy)


def _refuse_without_config(folder: Path) -> None:
    if (folder / CONFIG).exists() or (folder / BEFORE).is_dir() or not folder.is_dir():
        return
    names = {path.name for path, _ in zip(folder.iterdir(), range(1000), strict=False)}
    lacks = f"has no {CONFIG}"
    within = next((found for name in (CONFIG, ADAPTER) for found in folders_with(folder, name)), None)
    if not names:
        raise CheckpointError(folder, f"{lacks}: it is empty", "give a folder that holds a model")
    if "model_index.json" in names:
        raise CheckpointError(folder, "is a pipeline of diffusers, which makes images", "give a model that reads them")
    if {"snapshots", "blobs"} <= names:
        commit = next(folders_with(folder / "snapshots", CONFIG), None)
        if commit is not None:
            raise CheckpointError(folder, "is a model's place in the Hub's cache", f"give {commit}")
    if within is not None:
        raise CheckpointError(folder, f"{lacks}, but {within.name} within has", f"give {within}")
    form = form_of_weights(folder)
    if form is not None:
        raise CheckpointError(folder, f"{lacks}, and has its weights {form[0]}", form[1])
    above = folder.resolve().parent
    if (above / CONFIG).is_file():
        raise CheckpointError(folder, f"{lacks}, but the folder above has", f"give {above}")
    if any(name.endswith(".safetensors") for name in names):
        raise CheckpointError(folder, f"{lacks} beside its weights", f"copy the {CONFIG} of the same model, too")


def _refuse_original_llava(path: Path, values: Mapping[str, Any]) -> None:
    """Refuse LLaVA in its authors' own form, whose config.json mixes the fields of decoder and tower."""
    kind = values.get("model_type")
    own = any(name in values for name in _LLAVA_FIELDS) and "text_config" not in values
    if not own and not (isinstance(kind, str) and kind in _LLAVA_TYPES):
        return
    width = values.get("hidden_size")
    known = _LLAVA_SIZES.get(width) if isinstance(width, int) else None
    instead = f"use {known}" if known and kind != "llava_mistral" else "use a LLaVA of transformers' form (llava-hf)"
    raise CheckpointError(
        path,
        "is of LLaVA's original form, that of its authors' own code",
        f"{instead}, or convert this one (transformers: convert_llava_weights_to_hf.py)",
    )


def _refuse_packed(folder: Path, values: Mapping[str, Any]) -> None:
    """Refuse quantized weights; plain ones load even if a merge left `quantization_config` behind."""
    settings = values.get("quantization_config")
    if not settings:
        return
    method = settings.get("quant_method", "") if isinstance(settings, Mapping) else settings
    named = f"says that its weights are packed (quantization_config: {shown(method)})"
    plain = "Ojito reads plain weights: use the model that this one was made from"
    if (folder / WEIGHTS).exists() or (folder / INDEX).exists():
        try:
            header = read_header(folder)
        except CheckpointError:
            return  # whoever reads the weights says what is wrong with them, or that they are still to come
        if packing({name: entry.dtype for name, entry in header.items()}):
            raise CheckpointError(folder / CONFIG, named, plain)
        return
    raise CheckpointError(
        folder / CONFIG, named, f"{plain}; if they are plain, download it and delete the field from {CONFIG}"
    )
