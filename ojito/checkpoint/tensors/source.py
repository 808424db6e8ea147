"""Where tensors come from: a folder of safetensors files, or anything else that has tensors by name.

On the CPU and in the file's dtype a tensor is a view of the file, and nothing is read before it is used.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ojito.checkpoint.files import CONFIG, INDEX, WEIGHTS, CheckpointError
from ojito.checkpoint.keys import Key
from ojito.checkpoint.tensors.header import Entry, read_header
from ojito.gguf.quantization import Groups


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
