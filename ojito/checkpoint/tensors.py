"""Tensors on disk: safetensors, in one file or in shards, or any other `TensorSource`. Strict, by mmap, never a pickle.

Nothing is allocated before names, shapes and dtypes in the headers are found to be those of the model. On the CPU and
in the file's dtype a tensor is a view of the file, and nothing is read before it is used; only what lies there in
another form (transposed, flattened) is copied.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ojito.checkpoint.files import CONFIG, INDEX, MAX_VALUES, WEIGHTS, CheckpointError, find_file, read_json
from ojito.checkpoint.formats import form_of_file, packing, refuse_other_weights
from ojito.checkpoint.json_text import decode_json
from ojito.checkpoint.keys import Key, KeyMap
from ojito.gguf.quantization import Groups
from ojito.records import Progress
from ojito.settings import shown

MAX_HEADER = 8 * 2**20  # bytes
MAX_TENSORS = 20_000
MAX_SHARDS = 1000
MAX_NAME = 256  # characters of a tensor's name
MAX_AXES = 8  # of a tensor
MAX_SHARD = 5 * 10**9  # bytes
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1}  # bytes a number
FLOATS = ("F64", "F32", "F16", "BF16")
BYTES = {torch.int8: ("I8",), torch.uint8: ("U8",)}
"""What numbers of one byte may be in a file, those of quantized weights."""

DTYPE_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
Convert = Callable[[str, Key], Mapping[str, Tensor] | None]
"""What reads a tensor by its key and makes others of it, or leaves it."""

_SHARD = re.compile(r"\w[\w.-]{0,199}\.safetensors", re.ASCII)
_SHOWN = 5  # keys that an error lists
_RELEASE = 256 * 2**20  # bytes
_UNREAL = "use the files of a real model"


@dataclass(frozen=True)
class Entry:
    """Dtype, shape and file of a tensor, from a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    file: str


class TensorSource(ABC):
    """Tensors by their names, wherever they are stored.

    Attributes:
        path: The folder of the files that `Entry.file` names.
        header: The dtypes and shapes of the tensors, by name.
        where: The file that errors about all of the tensors name.
        described_by: What says which tensors there should be, for messages.
    """

    path: Path
    header: Mapping[str, Entry]
    where: Path
    described_by: str

    @abstractmethod
    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor on the CPU, a view of its file where possible.

        Args:
            name: Its name.
            dtype: The dtype that it will be converted to: a source that has to compute its numbers may return it so.

        Raises:
            CheckpointError: The file is damaged.
        """

    def groups(self, key: Key) -> Groups | None:
        """A matrix as groups of integers, in the model's order of rows; None where it is not stored so.

        Args:
            key: Where the file has it, as `KeyMap.resolve` says.
        """
        return None

    @abstractmethod
    def release(self) -> None:
        """Let go of the pages of the files that were read, so that the memory does not hold them beside copies."""


class SafetensorsFolder(TensorSource):
    """The tensors of a folder's safetensors files."""

    def __init__(self, folder: Path | str, header: Mapping[str, Entry] | None = None) -> None:
        """Open a folder.

        Args:
            folder: A model's folder.
            header: What `read_header` returned for it; None reads it.

        Raises:
            CheckpointError: As for `read_header`.
        """
        self.path = Path(folder)
        self.header = read_header(folder) if header is None else header
        self.where = self.path / (WEIGHTS if (self.path / WEIGHTS).is_file() else INDEX)
        self.described_by = f"{CONFIG} beside it"
        self._files: dict[str, Any] = {}

    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor, in the file's dtype, mapped."""
        file = self.header[name].file
        try:
            with _openable(self.path) as place:
                if file not in self._files:
                    self._files[file] = safe_open(place / file, framework="pt", device="cpu")
                tensor: Tensor = self._files[file].get_tensor(name)
                return tensor
        except (SafetensorError, OSError):
            raise CheckpointError(self.path / file, "is damaged", "copy it again") from None

    def release(self) -> None:
        """Close the files."""
        self._files.clear()


# -------------------------------------------------------------------------------------------------------------- reading


def read_header(folder: Path | str) -> dict[str, Entry]:
    """Return the names, dtypes and shapes of the folder's tensors. Reads none of the tensors.

    They are in `model.safetensors`, or in the shards that `model.safetensors.index.json` names. What a shard holds is
    said by the shard: an index that was written for other files may list tensors that are in none, such as a tied head.

    Raises:
        CheckpointError: A file is missing, truncated or not a safetensors file; a header is too large; a tensor is in
            two shards; the weights are in a form that is not read.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).exists():
            refuse_other_weights(folder)
        return _header(find_file(folder, WEIGHTS, limit=None))
    entries: dict[str, Entry] = {}
    for file in _read_index(folder):
        shard = _header(find_file(folder, file, limit=None))
        twice = sorted(shard.keys() & entries.keys())
        if twice:
            problem = f"holds what {entries[twice[0]].file} holds, too ({_first(twice)})"
            raise CheckpointError(folder / file, problem, f"copy all shards and {INDEX} again")
        entries |= shard
        _check_count(folder / INDEX, len(entries), "tensors", MAX_TENSORS)
    return entries


def read_file_header(path: Path) -> dict[str, Entry]:
    """Return the names, dtypes and shapes of the tensors of one safetensors file.

    Raises:
        CheckpointError: As for `read_header`.
    """
    return _header(path)


def _read_index(folder: Path) -> list[str]:
    """The names of the shards."""
    path, weight_map = folder / INDEX, read_json(folder, INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(path, "has no weight_map of names to files", "copy it again")
    _check_count(path, len(weight_map), "tensors", MAX_TENSORS)
    for file in weight_map.values():
        # A plain name: an index may not point to other folders.
        if not isinstance(file, str) or not _SHARD.fullmatch(file):
            problem = f"names {shown(file)}, which is no plain name of a *.safetensors"
            raise CheckpointError(path, problem, "copy it again")
    files = sorted(set(weight_map.values()))
    _check_count(path, len(files), "files", MAX_SHARDS)
    return files


def _check_count(path: Path, count: int, what: str, most: int) -> None:
    if count > most:
        raise CheckpointError(path, f"names {count} {what}, more than {most}", _UNREAL)


def _header(path: Path) -> dict[str, Entry]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise CheckpointError(path, *_not_safetensors(path, size))
            if length > MAX_HEADER:
                raise CheckpointError(path, f"has a header of {length} bytes, more than {MAX_HEADER}", _UNREAL)
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", "copy it again") from None
    try:
        values = decode_json(raw, MAX_VALUES)
        values.pop("__metadata__", None)
        _check_count(path, len(values), "tensors", MAX_TENSORS)
        entries = {_name(key): Entry(_text(v["dtype"]), _sizes(v["shape"]), path.name) for key, v in values.items()}
        end = _end([(_sizes(v["data_offsets"]), entries[key]) for key, v in values.items()])
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(path, "has a damaged header", "copy it again") from None
    if 8 + length + end != size:
        problem = f"is truncated or damaged: it has {size} bytes, not {8 + length + end}"
        raise CheckpointError(path, problem, "copy it again")
    return entries


def _not_safetensors(path: Path, size: int) -> tuple[str, str]:
    """Problem and remedy of a file whose first bytes are not those of a safetensors file."""
    other = form_of_file(path)
    if other:
        return f"is {other}, under the name of a safetensors file", "use the model's own safetensors files"
    problem = f"is truncated, or no safetensors file: it has {size} bytes, and its header alone would have more"
    return problem, "copy it again"


def _end(spans: Iterable[tuple[tuple[int, ...], Entry]]) -> int:
    """Offset at which the last tensor ends, in bytes after the header.

    Raises:
        ValueError: A tensor is not as large as its shape, or they overlap, or leave gaps.
    """
    at = 0
    for (start, end), entry in sorted(spans, key=lambda span: span[0]):
        # Of a dtype that is not known here, safetensors knows the size.
        size = math.prod(entry.shape) * DTYPES[entry.dtype] if entry.dtype in DTYPES else end - start
        if start != at or end != at + size:
            raise ValueError("not where it has to be")  # caught where it is called
        at = end
    return at


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
    problems = [f"{len(listed)} {kind} ({_first(listed)})" for kind, listed in lists.items() if listed]
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


@contextmanager
def _openable(folder: Path) -> Iterator[Path]:
    """Give the folder under a name that PyTorch can map files from: one in UTF-8.

    Raises:
        CheckpointError: It has none.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        pass
    else:
        yield folder
        return
    if not Path("/proc/self/fd").is_dir():
        raise CheckpointError(folder, "has a name that is not UTF-8", "rename it")
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _first(keys: list[str]) -> str:
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key[:200] for key in keys[:_SHOWN]) + more


def _name(key: str) -> str:
    if len(key) > MAX_NAME:  # the patterns of what is ignored would take very long to try
        raise ValueError("no tensor's name")  # caught where it is called
    return key


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > MAX_AXES:
        raise ValueError("not a list of sizes")  # caught where it is called
    if not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise ValueError("no size")  # caught where it is called
    return tuple(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")  # caught where it is called
    return value


# -------------------------------------------------------------------------------------------------------------- writing


def write_weights(
    folder: Path,
    state: Mapping[str, Tensor],
    max_shard: int | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `model.safetensors`; if that would be more than `max_shard` bytes, shards and their index.

    Args:
        folder: The folder to write into.
        state: Tensors by their names in the files.
        max_shard: The most bytes of a file, unless one tensor alone has more; None puts all into one.
        dtype: Of floating-point tensors; None leaves them as they are. One shard at a time is converted.
        progress: Called with the count of bytes that are written, and of all of them.

    Raises:
        OSError: The disk is full.
    """
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in state.items():
        nbytes = tensor.numel() * _dtype(tensor, dtype).itemsize
        if max_shard is not None and shards[-1] and size + nbytes > max_shard:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach()
        size += nbytes
        total += nbytes
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    written = 0
    for name, shard in zip(names, shards, strict=True):
        tensors = {key: tensor.to("cpu", _dtype(tensor, dtype)).contiguous() for key, tensor in shard.items()}
        write_file(folder / name, tensors)
        written += sum(tensor.nbytes for tensor in tensors.values())
        del tensors  # before those of the next shard are converted
        if progress is not None:
            progress(written, total)


def write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file.

    Args:
        path: The file.
        tensors: By their names.

    Raises:
        OSError: The disk is full.
    """
    try:
        plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        save_file(plain, path, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk comes as this, too
        raise OSError(0, str(error)) from error


def _dtype(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
