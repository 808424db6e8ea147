"""Weights in forms that Ojito does not read, recognized by file names, first bytes or tensor names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ojito.checkpoint.files import BEFORE, CheckpointError

_MOST_FILES = 1000  # of a folder, that are looked at
_CONVERT = "save them as model.safetensors (in transformers: from_pretrained, then save_pretrained)"
_OTHER_COPY = "use the model's safetensors files, from the repository that these were made from"

# Patterns of file names, what the weights are, and what to do. The first that matches any file counts.
_FORMS = (
    (r"zero_to_fp32\.py|global_step\d+|.*_zero_pp_rank_.*", "as a checkpoint of DeepSpeed",
     "run its zero_to_fp32.py with --safe_serialization, and give the folder of the result"),
    (r".*\.distcp|pytorch_model_fsdp_\d+", "as shards of a distributed training (FSDP)",
     "merge them with `accelerate merge-weights`"),
    (r".*\.gguf", "as GGUF", "give the path of the model's .gguf file"),
    (r"model-\d{5}-of-\d{5}\.safetensors", "as shards without an index", "copy model.safetensors.index.json, too"),
    (r"consolidated.*\.(safetensors|pth)", "in its authors' own form (consolidated)",
     "use the repository's files in transformers' form, beside them or converted"),
    (r"(?!optimizer|scheduler|scaler|rng_state|training_args|trainer_state|non_lora).*\.(bin|bin\.index\.json|pt|pth|ckpt)",
     "as pickles, which are programs", _CONVERT),
    (r"(tf_model.*|.*)\.h5|flax_model.*\.msgpack", "in TensorFlow's or Flax's form", _OTHER_COPY),
    (r".*\.onnx", "as ONNX, which Ojito does not read", _OTHER_COPY),
)  # fmt: skip
_MAGIC = (
    (b"PK\x03\x04", "a pickle of PyTorch's"),
    *((b"\x80" + bytes([protocol]), "a pickle of PyTorch's") for protocol in (2, 3, 4, 5)),
    (b"GGUF", "a GGUF file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
)
# Patterns of tensors' names, and who packs so.
_PACKED = (
    (r".*\.(absmax|quant_map|quant_state\..*|nested_absmax|SCB|weight_format)", "bitsandbytes"),
    (r".*\.(qweight|qzeros|g_idx)", "GPTQ or AWQ"),
    (r".*\.(weight_packed|weight_shape|weight_zero_point|weight_global_scale)", "compressed-tensors"),
    (r".*\.(weight_scale|weight_scale_inv|input_scale)", "eight bits with scales"),
    (r".*_(blocks|scales)", "MXFP4"),
)


def form_of_file(path: Path) -> str:
    """Return what a file that is not safetensors is, by its first bytes; empty if they do not tell."""
    try:
        with path.open("rb") as file:
            start = file.read(16).lstrip()
    except OSError:
        return ""
    return next((form for magic, form in _MAGIC if start.startswith(magic)), "")


def form_of_weights(folder: Path) -> tuple[str, str] | None:
    """Return the other form in which a folder has weights, and the remedy; None if there are none."""
    names = [path.name for path in _listed(folder)]
    for pattern, form, remedy in _FORMS:
        if any(re.fullmatch(pattern, name) for name in names):
            return form, remedy
    return None


def refuse_other_weights(folder: Path) -> None:
    """Raise for a folder that has no `model.safetensors`, if something there explains it.

    Raises:
        CheckpointError: The weights are in another form, under another name, or in a folder within.
    """
    if (folder / BEFORE).is_dir():
        return  # a save was cut short
    other = form_of_weights(folder)
    if other:
        raise CheckpointError(folder, f"has its weights {other[0]}", other[1])
    tensors = [path.name for path in _listed(folder) if path.suffix == ".safetensors" and path.is_file()]
    if tensors:
        problem, remedy = f"has no model.safetensors, but {tensors[0]}", "if that is the whole model, give it this name"
        raise CheckpointError(folder, problem, remedy)
    within = next(folders_with(folder, "model*.safetensors"), None)
    if within is not None:
        raise CheckpointError(folder, f"has no model.safetensors, but {within.name} within has", f"give {within}")


def folders_with(folder: Path, pattern: str) -> Iterator[Path]:
    """The folders directly within that have a file of this pattern, those with the highest numbers first."""
    folders = [path for path in _listed(folder) if path.is_dir() and not path.name.startswith(".")]
    yield from (path for path in sorted(folders, key=_number, reverse=True) if any(path.glob(pattern)))


def _number(path: Path) -> tuple[int, str]:
    digits = re.search(r"(\d{1,18})$", path.name)
    return (int(digits[1]) if digits else -1, path.name)


def _listed(folder: Path) -> list[Path]:
    try:
        listed = sorted(path for path, _ in zip(folder.iterdir(), range(_MOST_FILES), strict=False))
    except OSError:
        return []
    return listed


def packing(dtypes: Mapping[str, str]) -> str:
    """Return the method by which the weights are quantized; empty if they are plain.

    Args:
        dtypes: Tensors' names to their dtypes, as safetensors writes them; an empty dtype is not known.
    """
    for pattern, packer in _PACKED:
        if any(re.fullmatch(pattern, name) for name in dtypes):
            return packer
    return next(
        (
            dtype
            for name, dtype in dtypes.items()
            if name.endswith("weight") and dtype[:2] in ("U8", "I8", "F8", "F4", "U4", "I4")
        ),
        "",
    )
