"""A GGUF file that is opened once, with the mmproj that belongs to it, and their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ojito.checkpoint.description import OpenFolder
from ojito.checkpoint.files import BEFORE, INDEX, WEIGHTS, CheckpointError
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.keys import Key
from ojito.checkpoint.tensors.header import Entry
from ojito.checkpoint.tensors.source import TensorSource
from ojito.gguf.container import GgufFile, is_gguf_file
from ojito.gguf.quantization import Groups, is_plain, read_groups, read_tensor

_MMPROJ = "mmproj"
"""How the names of such files begin, by llama.cpp's custom."""

_RELEASE = 256 * 2**20  # bytes of made numbers, after which the pages that they came from are let go
_MOST_FILES = 1000  # of a folder, that are looked at


class OpenGguf(OpenFolder):
    """A language model in a GGUF file, perhaps with an mmproj: vision tower and projector in a second one.

    Attributes:
        path: The language model's file.
        text: That file.
        vision: The mmproj; None for a model of text alone.
    """

    described_by = "its metadata"

    def __init__(self, path: Path | str, mmproj: Path | str | None = None) -> None:
        """Open the files.

        Args:
            path: The language model's file.
            mmproj: The other.

        Raises:
            CheckpointError: The first is an mmproj, the second is none, or one is a piece of a split model.
            GgufError: One cannot be read.
        """
        super().__init__(path)
        self.text = GgufFile(path)
        self.vision = None if mmproj is None else GgufFile(mmproj)
        if self.text.architecture == "clip":
            remedy = "give the language model's file, and this one as mmproj"
            raise CheckpointError(path, "is an mmproj, which has a vision tower and no language model", remedy)
        if self.vision is not None and self.vision.architecture != "clip":
            problem = f"is no mmproj: its architecture is {self.vision.architecture}, not clip"
            raise CheckpointError(self.vision.path, problem, "give the mmproj of the same model")
        for file in self._files:
            if file.metadata.get("split.count") not in (None, 0, 1):
                raise CheckpointError(
                    file.path, "is one piece of a model in several", "merge them (llama-gguf-split --merge)"
                )

    @property
    def _files(self) -> list[GgufFile]:
        return [self.text] if self.vision is None else [self.text, self.vision]

    @property
    def values(self) -> dict[str, Any]:
        """No fields: there is no config.json."""
        return {}

    @property
    def fields(self) -> Fields:
        """The metadata of the language model."""
        return Fields(self.text.metadata, str(self.path))

    @cached_property
    def header(self) -> Mapping[str, Entry]:
        """The dtypes and shapes of all tensors, by name; quantized ones are read as float32."""
        return self.tensors.header

    @cached_property
    def tensors(self) -> GgufTensors:
        """The tensors themselves.

        Raises:
            CheckpointError: One is in both files.
        """
        return GgufTensors(self._files)

    @property
    def name(self) -> str:
        """The model's name: the file's, without its suffix."""
        return self.path.stem


class GgufTensors(TensorSource):
    """The tensors of GGUF files: what is quantized is made into numbers when it is read."""

    described_by = OpenGguf.described_by

    def __init__(self, files: list[GgufFile]) -> None:
        """Take the tensors of these files.

        Raises:
            CheckpointError: One is in two of them.
        """
        self.where = files[0].path
        self.path = self.where.parent
        self._files = files
        self._homes: dict[str, GgufFile] = {}
        self._made = 0
        header = {}
        for file in files:
            for name, place in file.tensors.items():
                if name in self._homes:
                    raise CheckpointError(
                        file.path, f"holds {name}, as {self._homes[name].path} does", "give its mmproj"
                    )
                self._homes[name] = file
                dtype = place.kind.name if is_plain(place) else "F32"
                header[name] = Entry(dtype, place.shape, str(file.path.absolute()))
        self.header = header

    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor: of ordinary numbers a view of the file, of a quantized one a copy in the dtype, or float32.

        Raises:
            GgufError: A quantized type for which the package `gguf` is missing.
        """
        file = self._homes[name]
        tensor = read_tensor(file, name, dtype)
        if not is_plain(file.tensors[name]):
            self._made += tensor.nbytes
            if self._made > _RELEASE:
                self.release()
        return tensor

    def groups(self, key: Key) -> Groups | None:
        """A matrix as groups of integers with scales, in the model's order of rows, without floating-point weights.

        Args:
            key: Where the file has it, as `KeyMap.resolve` says.

        Returns:
            The groups; None where it is stored in another way, or where its columns are those of several matrices.
        """
        if key.transposed or key.parts > 1 or key.leading or key.plus_one:
            return None
        found = read_groups(self._homes[key.name], key.name)
        if found is None or not key.heads:
            return found
        ints, scales, minimums = (
            None if part is None else key.to_ours(part, tuple(part.shape))
            for part in (found.ints, found.scales, found.minimums)
        )
        assert ints is not None  # noqa: S101 - only minimums may be
        assert scales is not None  # noqa: S101
        return Groups(ints, scales, minimums)

    def release(self) -> None:
        """Let go of the pages that were read."""
        self._made = 0
        for file in self._files:
            file.release()


def open_gguf(path: Path | str, mmproj: Path | str | None = None) -> OpenGguf | None:
    """Open a model in GGUF: a file, or a folder that holds one and perhaps its mmproj, and no other weights.

    Args:
        path: A path.
        mmproj: The mmproj; None takes the one in the folder, if a folder is given.

    Returns:
        The opened file; None where the path is none of these.

    Raises:
        CheckpointError: Several files could be meant; or as for `OpenGguf`.
        GgufError: A file cannot be read.
    """
    path = Path(path)
    if is_gguf_file(path):
        return OpenGguf(path, mmproj)
    if not path.is_dir() or any((path / name).exists() for name in (WEIGHTS, INDEX, BEFORE)):
        return None
    listed = [entry for entry, _ in zip(path.iterdir(), range(_MOST_FILES), strict=False)]
    files = sorted(entry for entry in listed if is_gguf_file(entry))
    towers = [file for file in files if file.name.startswith(_MMPROJ)]
    models = [file for file in files if file not in towers]
    if not models or any(entry.suffix == ".safetensors" for entry in listed):
        return None
    if len(models) > 1 or (len(towers) > 1 and mmproj is None):
        first, second, *_ = models if len(models) > 1 else towers
        problem = f"holds several GGUF files, {first.name} and {second.name} among them"
        raise CheckpointError(path, problem, f"give the path of one, such as {first}")
    return OpenGguf(models[0], mmproj or (towers[0] if towers else None))
