"""Tensors of a source under the names of a model, in its shapes and kinds: all of them, and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ojito.checkpoint.files import CONFIG, CheckpointError
from ojito.checkpoint.formats import packing
from ojito.checkpoint.keys import Key, KeyMap
from ojito.checkpoint.tensors.header import FLOATS, Entry, first_of
from ojito.checkpoint.tensors.source import SafetensorsFolder, TensorSource
from ojito.records import Progress

BYTES = {torch.int8: ("I8",), torch.uint8: ("U8",)}
"""What numbers of one byte may be in a file, those of quantized weights."""

Convert = Callable[[str, Key], Mapping[str, Tensor] | None]
"""What reads a tensor by its key and makes others of it, or leaves it."""

_RELEASE = 256 * 2**20  # bytes


def read_weights(
    folder: Path | str | TensorSource,
    expected: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    keys: KeyMap | None = None,
    progress: Progress | None = None,
    keep: Collection[str] = (),
    convert: Convert | None = None,
) -> dict[str, Tensor]:
    """Read the folder's tensors, under the model's names.

    Args:
        folder: A model's folder with safetensors, or where else its tensors are.
        expected: The model's state dict, or a part of it; tensors on `meta` will do.
        dtype: Of floating-point tensors; None leaves them as they are.
        device: Where to put them.
        keys: What the tensors are called in the folder; None means as in the model.
        progress: Called with the count of numbers that are read, and of all of them.
        keep: Names of tensors whose dtype stays that of the file.
        convert: Called with a tensor's name and its key in the files; the tensors that it returns, if any, take that
            one's place.

    Raises:
        CheckpointError: A key is missing, unexpected or of another shape, a constant has other numbers than the config
            makes or a copy than what it is of, or a file is damaged.
    """
    source = folder if isinstance(folder, TensorSource) else SafetensorsFolder(folder)
    found, keys = source.header, keys or KeyMap()
    try:
        names = keys.resolve(expected, found)
    except LookupError as error:
        raise CheckpointError(source.path, f"has {error}", "use the config of the files' own model") from None
    names = _with_copies(names, found, keys)
    expected = {name: t for name, t in expected.items() if names[name].name in found or not _is_counter(name)}
    counters = {name: torch.zeros((), dtype=torch.int64, device=device) for name in names if name not in expected}
    _compare(source, expected, names, keys)
    _compare_constants(source, keys)
    _compare_copies(source, names, keys)
    source.release()
    state: dict[str, Tensor] = {}
    converted = done = 0
    total = sum(tensor.numel() for tensor in expected.values())
    for name, tensor in expected.items():
        key, target = names[name], dtype if tensor.is_floating_point() and name not in keep else None
        made = convert(name, key) if convert is not None else None
        if made is None:
            read = key.to_ours(source.read(key.name, target), tuple(tensor.shape))
            made = {name: read.to(device, target).contiguous()}
            if made[name].data_ptr() != read.data_ptr():  # a copy, so that the file's pages are of no more use
                converted += read.nbytes
            del read
        else:
            converted += tensor.nbytes
        state |= {one: part.to(device) for one, part in made.items()}
        if converted > _RELEASE:
            source.release()
            converted = 0
        done += tensor.numel()
        if progress is not None:
            progress(done, total)
    return state | counters


def _is_counter(name: str) -> bool:
    """Whether it is a batch norm's count of steps, which nothing computes with, and which older files lack."""
    return name.endswith(".num_batches_tracked")


def _with_copies(names: Mapping[str, Key], found: Mapping[str, Entry], keys: KeyMap) -> dict[str, Key]:
    """The names, with that of a copy where the file has only the copy: a tied weight is saved under either name."""
    copies = {ours: copy for copy, ours in keys.copies.items() if copy in found}
    return {
        ours: dataclasses.replace(key, name=copies[ours]) if key.name not in found and ours in copies else key
        for ours, key in names.items()
    }


def _compare(source: TensorSource, expected: Mapping[str, Tensor], names: Mapping[str, Key], keys: KeyMap) -> None:
    """Check that the files hold every tensor of the model, in its shape and kind, and no other.

    Raises:
        CheckpointError: Lists what differs.
    """
    missing, differing, found = [], [], source.header
    for name, tensor in expected.items():
        key = names[name]
        if key.name not in found:
            missing.append(key.name)
            continue
        entry, shape = found[key.name], key.their_shape(tuple(tensor.shape))
        if entry.shape != shape:
            differing.append(f"{key.name} is {list(entry.shape)}, not {list(shape)}")
        elif not _fits(entry.dtype, tensor.dtype):
            differing.append(f"{key.name} is of dtype {entry.dtype}")
    wanted = {key.name for key in names.values()}
    unexpected = [name for name in found if name not in wanted and not keys.ignores(name)]
    lists = {"missing": missing, "unexpected": unexpected, "differing": differing}
    problems = [f"{len(listed)} {kind} ({first_of(listed)})" for kind, listed in lists.items() if listed]
    if problems:
        how = packing({name: entry.dtype for name, entry in found.items()})
        if how:
            problem = f"has its weights packed ({how}), and Ojito reads plain ones"
            raise CheckpointError(source.where, problem, "use the model that this one was made from")
        problem = f"does not fit {source.described_by}: {'; '.join(problems)}"
        raise CheckpointError(source.where, problem, "use the files of one model")


def _fits(stored: str, dtype: torch.dtype) -> bool:
    """Whether a tensor of the model may be of that dtype in a file: any float for a float; bytes are of one kind."""
    if dtype.is_floating_point:
        return stored in FLOATS
    return stored in BYTES.get(dtype, ("I64", "I32"))


def _compare_constants(source: TensorSource, keys: KeyMap) -> None:
    """Check the file's constants against the config, within half precision.

    Raises:
        CheckpointError: They are not, so that the file is of a model that computes something else.
    """
    for name, make in keys.constants.items():
        entry = source.header.get(name)
        if entry is None:
            continue
        constant = make()
        same = entry.shape == tuple(constant.shape) and entry.dtype in FLOATS
        same = same and torch.allclose(source.read(name).to(constant.dtype), constant, rtol=1e-2)
        if not same:
            problem = f"has another {name} than {source.described_by} makes"
            raise CheckpointError(source.path / entry.file, problem, "use the files of one model")


def _compare_copies(source: TensorSource, names: Mapping[str, Key], keys: KeyMap) -> None:
    """Check that repeated tensors are equal.

    Raises:
        CheckpointError: It is not, so that whoever wrote the file computed something else than the config says.
    """
    for copy, ours in keys.copies.items():
        original = names[ours].name if ours in names else copy
        if copy == original or copy not in source.header:
            continue
        first = source.read(original)
        if not torch.equal(first, source.read(copy).to(first.dtype)):
            raise CheckpointError(
                source.path / source.header[copy].file,
                f"has a {copy} that is not its {original}, and {CONFIG} beside it says that they are one (tied)",
                "use the files of one model, or untie them there (tie_word_embeddings; in nanoVLM lm_tie_weights)",
            )
