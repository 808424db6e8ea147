"""An adapter, and the tensors of its base model with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ojito.checkpoint.description import Described, OpenFolder
from ojito.checkpoint.files import find_file
from ojito.checkpoint.keys import Key
from ojito.checkpoint.peft.base_model import weights_file
from ojito.checkpoint.peft.config_file import AdapterConfig
from ojito.checkpoint.peft.names import PARTS
from ojito.checkpoint.tensors.header import read_file_header
from ojito.checkpoint.tensors.source import SafetensorsFolder, TensorSource
from ojito.config import LoraConfig
from ojito.gguf.quantization import Groups


@dataclass(frozen=True)
class Layer:
    """The adapter of one layer.

    Attributes:
        a, b: Names of its matrices in the file.
        scale: Factor on their product.
        part, parts: Which of so many equal pieces of the rows of B is its own: theirs may be a fused layer.
    """

    a: str
    b: str
    scale: float
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Whole:
    """A tensor that learned in full.

    Attributes:
        names: Its names in the file; several where ours are pieces of one of the base model's.
        key: Where the file has ours, what makes the base model's of them; None where it has that.
    """

    names: tuple[str, ...]
    key: Key | None = None


@dataclass(frozen=True)
class Matrices:
    """A layer's adapter: A (rank, in), B (out, rank) and the factor on their product."""

    a: Tensor
    b: Tensor
    scale: float


@dataclass(frozen=True)
class Adapter:
    """An adapter, and the model that it belongs to.

    Attributes:
        path: Its folder.
        base: The model without it.
        config: Of its adapter_config.json.
        layers: By their names in the model.
        whole: Tensors that learned in full, by their names in the base model's files.
        parts: Parts of the model that those tensors are of.
    """

    path: Path
    base: Described
    config: AdapterConfig
    layers: Mapping[str, Layer]
    whole: Mapping[str, Whole] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()

    @cached_property
    def source(self) -> SafetensorsFolder:
        """The tensors of its file."""
        file = find_file(self.path, weights_file(self.path), limit=None)
        return SafetensorsFolder(self.path, read_file_header(file))

    @property
    def parameters(self) -> int:
        """How many numbers its file has."""
        return sum(math.prod(entry.shape) for entry in self.source.header.values())

    def matrices(self, name: str) -> Matrices:
        """The adapter of a layer, in float32."""
        layer = self.layers[name]
        a, b = self.source.read(layer.a).float(), self.source.read(layer.b).float()
        return Matrices(a, b.chunk(layer.parts)[layer.part], layer.scale)

    @property
    def settings(self) -> LoraConfig:
        """The settings that make such an adapter."""
        c = self.config
        grouped: dict[str, list[str]] = {}
        for name in self.layers:
            grouped.setdefault(re.sub(r"\.\d+\.", ".*.", name, count=1), []).append(name)
        depths = {"vision": getattr(self.base.model.vision, "layers", 0), "decoder": self.base.model.decoder.layers}
        targets: list[str] = []
        for pattern, names in grouped.items():  # in every layer of its part, or in some
            whole = "*" not in pattern or len(names) == depths.get(pattern.partition(".")[0], 0)
            targets += [pattern] if whole else names
        parts = tuple(part for part in PARTS if any(name.startswith(f"{part}.") for name in self.layers))
        return LoraConfig(c.rank, c.alpha, c.rslora, c.dropout, tuple(targets), parts)  # type: ignore[arg-type]


class WithAdapter(TensorSource):
    """The tensors of a base model with an adapter.

    Args:
        adapter: The adapter.
        merge: Whether the adapters' products are added to the weights; if not, only those tensors are its own that
            learned in full.
    """

    def __init__(self, adapter: Adapter, merge: bool = True) -> None:
        base = adapter.base
        self._base, self._adapter = base.folder.tensors, adapter
        self.path, self.header, self.where = self._base.path, self._base.header, self._base.where
        self.described_by = self._base.described_by
        self._layers: dict[str, list[tuple[str, Key]]] = {}
        weights = [f"{name}.weight" for name in adapter.layers] if merge else []
        for name, key in base.keys.resolve(weights, self.header).items():
            self._layers.setdefault(key.name, []).append((name.removesuffix(".weight"), key))

    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor, with what the adapter adds to it; added in float32, and rounded once."""
        if name in self._adapter.whole:
            whole = self._adapter.whole[name]
            learned = [self._adapter.source.read(piece) for piece in whole.names]
            tensor = learned[0] if whole.key is None else whole.key.to_theirs(learned)
        else:
            tensor = self._base.read(name, dtype)
        layers = self._layers.get(name)
        if layers is None:
            return tensor
        added: dict[int, Tensor] = {}
        for layer, key in layers:
            adapter = self._adapter.matrices(layer)
            added[key.part] = adapter.scale * (adapter.b @ adapter.a)
        nothing = torch.zeros_like(next(iter(added.values())))
        key = layers[0][1]
        theirs = key.to_theirs([added.get(part, nothing) for part in range(key.parts)])
        return (tensor.float() + theirs).to(dtype or tensor.dtype)

    def groups(self, key: Key) -> Groups | None:
        """As of the base model; None where an adapter is added."""
        return None if key.name in self._layers or key.name in self._adapter.whole else self._base.groups(key)

    def release(self) -> None:
        """As of the base model."""
        self._base.release()


class AdaptedFolder(OpenFolder):
    """An adapter's folder, opened as if its model were in it. Attributes as of `OpenFolder`.

    Args:
        adapter: The adapter.
        merge: As for `WithAdapter`.
    """

    def __init__(self, adapter: Adapter, merge: bool = True) -> None:
        super().__init__(adapter.path)
        self._adapter, self._merge = adapter, merge
        self.header = adapter.base.header
        self.described_by = adapter.base.folder.described_by

    @property
    def tensors(self) -> TensorSource:
        """The tensors of the base model with the adapter."""
        return WithAdapter(self._adapter, self._merge)
