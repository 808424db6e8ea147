"""Which of a base model's tensors an adapter is for: found out from the headers of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ojito.checkpoint.description import Described
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.keys import Key
from ojito.checkpoint.peft.adapter import Adapter, Layer, Whole
from ojito.checkpoint.peft.base_model import weights_file
from ojito.checkpoint.peft.config_file import AdapterConfig
from ojito.checkpoint.peft.names import split_names, to_ours
from ojito.checkpoint.tensors.header import FLOATS

_OTHER = "use an adapter that was made for this model"


def open_adapter(config: AdapterConfig, base: Described) -> Adapter:
    """Find out which of the base model's tensors an adapter is for. Reads headers alone.

    Args:
        config: The adapter's adapter_config.json.
        base: The model's description.

    Raises:
        CheckpointError: The file is damaged, or is not for this model.
    """
    folder = config.path.parent
    empty = Adapter(folder, base, config, {})
    return dataclasses.replace(empty, **_Fitting(empty).made())


class _Fitting:
    """Fits the tensors of an adapter's file to those of its base model."""

    def __init__(self, empty: Adapter) -> None:
        self.base, self.config, self.found = empty.base, empty.config, empty.source.header
        self.where, self.known = empty.path / weights_file(empty.path), empty.base.header
        self.names = split_names(self.where, self.found)
        weights = [f"{layer}.weight" for layer in self.names.layers]
        self.ours = to_ours(self.base.keys, [*weights, *self.names.whole])
        tensors = [tensor for meant in self.ours.values() for tensor in meant]
        try:
            self.keys = self.base.keys.resolve(tensors, self.known)
        except LookupError:
            self.keys = {}
        unknown = [name for name in (*weights, *self.names.whole) if not self._is_known(name)]
        if unknown or not self.names.layers:
            named = ", ".join(name.removesuffix(".weight")[:200] for name in unknown[:3]) or "nothing"
            problem = f"has adapters for {named}, and {self.base.path} has no such layers"
            raise CheckpointError(self.where, problem if unknown else "has no adapters", _OTHER)

    def _is_known(self, name: str) -> bool:
        meant = self.ours.get(name, {})
        return bool(meant) and all(one in self.keys and self.keys[one].name in self.known for one in meant)

    def made(self) -> dict[str, Any]:
        """The fields of the adapter."""
        learned = {ours: (name, key) for name in self.names.whole for ours, key in self.ours[name].items()}
        return {
            "layers": {
                ours.removesuffix(".weight"): self._layer(name, self.keys[ours], stored)
                for name in self.names.layers
                for ours, stored in self.ours[f"{name}.weight"].items()
            },
            "whole": self._whole(learned),
            "parts": frozenset(name.partition(".")[0] for name in learned),
        }

    def _layer(self, name: str, key: Key, stored: Key) -> Layer:
        matrices = self.names.layers[name]
        a, b = (self.found[matrix] for matrix in matrices)
        fits = len(a.shape) == len(b.shape) == 2 and a.dtype in FLOATS and b.dtype in FLOATS
        if fits:
            shape = (b.shape[0] // stored.parts, a.shape[1])
            fits = a.shape[0] == b.shape[1] > 0 == b.shape[0] % stored.parts and self._is_shape(key, shape)
        if not fits:
            problem = f"has {list(a.shape)} and {list(b.shape)} for {name[:200]}, which do not fit {self.base.path}"
            raise CheckpointError(self.where, problem, _OTHER)
        alpha, rank = self.config.alpha_of(name), a.shape[0]
        scale = alpha / (rank**0.5 if self.config.rslora else rank)
        return Layer(*matrices, scale, stored.part, stored.parts)

    def _whole(self, learned: Mapping[str, tuple[str, Key]]) -> dict[str, Whole]:
        pieces: dict[str, dict[int, str]] = {}
        for ours, (name, _) in learned.items():
            pieces.setdefault(self.keys[ours].name, {})[self.keys[ours].part] = self.names.whole[name]
        whole: dict[str, Whole] = {}
        for ours, (name, stored) in learned.items():
            key, entry, own = self.keys[ours], self.found[self.names.whole[name]], stored.name == ours
            fits = self._is_shape(key, entry.shape) if own else entry.shape == self.known[key.name].shape
            if entry.dtype not in FLOATS or not fits or len(pieces[key.name]) < key.parts:
                problem = f"has a {name[:200]} of shape {list(entry.shape)}, which does not fit {self.base.path}"
                raise CheckpointError(self.where, problem, _OTHER)
            if ours == "decoder.embedding.weight" and self.base.model.decoder.tied_head:
                problem = "has learned an embedding anew, and in this model the head is the embedding (tied)"
                raise CheckpointError(self.where, problem, "merge it into its model (PEFT's merge_and_unload)")
            ordered = tuple(piece for _, piece in sorted(pieces[key.name].items()))
            whole[key.name] = Whole(ordered, key) if own else Whole(ordered[:1])
        return whole

    def _is_shape(self, key: Key, ours: tuple[int, ...]) -> bool:
        """Whether the base model's tensor is what one of ours of this shape is stored as."""
        return self.known[key.name].shape == key.their_shape(ours)
