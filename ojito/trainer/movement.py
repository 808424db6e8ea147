"""How far a run has moved the weights of each part.

The change of a tensor is the norm of what was added to it, relative to the norm that it had. To know it at the end, the
beginning is kept as a sketch: 8 KiB a tensor, however large. Each element is added to one of 1021 sums, with a sign
that a hash of its number gives. The sums of a difference are the difference of the sums, and the expected square of
their norm is that of the tensor's: the change is right to about 2% for a tensor, and exact for one of up to 1021
elements. A tensor that has not moved has the same sketch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ojito.model import VLM
from ojito.trainer.history import Step
from ojito.trainer.parallel import full

SUMS = 1021  # a prime: the columns of a matrix then fall on all of them
_ROWS = 1024  # of so many elements at once, to bound the memory
_STILL = 1e-13  # relative: sums may be rounded otherwise with another number of threads


@dataclass(frozen=True)
class PartMoved:
    """How far a run has moved a part.

    Attributes:
        parameters: Of the part.
        learned: Those of them that were to learn.
        change: Norm of the change of those, relative to the norm that they had; None where none were to learn, or all
            were zero.
        tensors: Tensors that were to learn.
        still: Names of those that have not moved.
        gradient: Mean norm of its gradient over the steps, before clipping; None where there was none.
        last_gradient: That of the last step.
    """

    parameters: int
    learned: int
    change: float | None
    tensors: int
    still: tuple[str, ...]
    gradient: float | None
    last_gradient: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON; of the tensors that have not moved, the first ten by name."""
        return {
            "parameters": self.parameters,
            "learned": self.learned,
            "change": _rounded(self.change),
            "tensors": self.tensors,
            "still": len(self.still),
            "still_tensors": [*self.still[:10]],
            "gradient_norm": _rounded(self.gradient),
            "last_gradient_norm": _rounded(self.last_gradient),
        }


class Movement:
    """The weights of a model as a run began, in short, and what became of its gradients.

    Args:
        model: Before the first step, with the parts that learn set.

    Attributes:
        norms: The norm of each part's gradient, and of "all", in the last step that changed something.
    """

    def __init__(self, model: VLM) -> None:
        self._model = model
        self._start: dict[str, Tensor] = {}
        self._weights: dict[str, float] = {}  # norms
        self.norms: dict[str, float] = {}
        self._steps, self._sums = 0, dict[str, float]()
        self.note_learning()

    def note_learning(self) -> None:
        """Note the parameters that are to learn from here on: for when that changes within a run."""
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad and name not in self._start:
                self._start[name] = sketch(parameter)
                self._weights[name] = float(full(parameter.detach()).norm())

    def add(self, step: Step) -> None:
        """Count the gradients of a step, unless it changed nothing."""
        if not step.finite:
            return
        self._steps += 1
        self.norms = dict(step.norms)
        for name, norm in step.norms.items():
            self._sums[name] = self._sums.get(name, 0.0) + norm

    def parts(self) -> dict[str, PartMoved]:
        """Return how far each part has moved, parts without parameters left out."""
        parts = {name: part for name, part in self._model.parts.items() if [*part.parameters()]}
        return {name: self._part(name, part) for name, part in parts.items()}

    def state_dict(self) -> dict[str, Any]:
        """What a run that is gone on with has to know."""
        return {
            "start": dict(self._start),
            "weights": dict(self._weights),
            "steps": self._steps,
            "sums": dict(self._sums),
            "last": dict(self.norms),
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It is that of another model.
        """
        if strange := values["start"].keys() - dict(self._model.named_parameters()).keys():
            raise ValueError(f"the run began with {min(strange)}, which this model does not have")  # caught
        self._start = {name: tensor.clone() for name, tensor in values["start"].items()}
        self._weights = dict(values["weights"])
        self._steps, self._sums, self.norms = values["steps"], dict(values["sums"]), dict(values["last"])

    def _part(self, part_name: str, part: nn.Module) -> PartMoved:
        learning = {name: p for name, p in part.named_parameters(prefix=part_name) if name in self._start}
        changes = {name: float((sketch(p) - self._start[name]).norm()) for name, p in learning.items()}
        still = [name for name, change in changes.items() if change <= _STILL * self._weights[name]]
        norm = math.hypot(*(self._weights[name] for name in learning))
        change = math.hypot(*(change for name, change in changes.items() if name not in still))
        steps = self._steps if part_name in self._sums else 0
        return PartMoved(
            parameters=sum(p.numel() for p in part.parameters()),
            learned=sum(p.numel() for p in learning.values()),
            change=change / norm if norm else None,
            tensors=len(learning),
            still=tuple(still),
            gradient=self._sums[part_name] / steps if steps else None,
            last_gradient=self.norms.get(part_name),
        )


@torch.no_grad()
def sketch(tensor: Tensor) -> Tensor:
    """Return sums (SUMS,) float64, on the CPU, over the elements of a tensor with the signs of a hash.

    Args:
        tensor: Of any shape, dtype and device. Where this rank holds a part of it, all ranks make the call.
    """
    flat = full(tensor.detach()).reshape(-1)
    pattern = _signs(0, _ROWS * SUMS).to(flat.device)
    total = torch.zeros(SUMS, dtype=torch.float64, device=flat.device)
    for number, chunk in enumerate(torch.split(flat, _ROWS * SUMS)):
        signed = chunk.float() * pattern[: len(chunk)]
        whole = len(signed) // SUMS * SUMS
        sums = signed[:whole].view(-1, SUMS).sum(0, dtype=torch.float64)
        sums[: len(signed) - whole] += signed[whole:]
        # Signs of its own for each chunk: else elements that are a chunk apart would always have the same one.
        total += sums * _signs((1 << 24) + number * SUMS, SUMS).to(flat.device)
    return total.cpu()


@functools.lru_cache(maxsize=64)
def _signs(first: int, count: int) -> Tensor:
    """Signs (count,) of the numbers from `first` on, 1 or -1: a hash, which no version of PyTorch changes."""
    number = torch.arange(first, first + count)
    mixed = (number ^ (number >> 15)) * 0x2C1B3C6D & 0x7FFFFFFF
    mixed = (mixed ^ (mixed >> 12)) * 0x297A2D39 & 0x7FFFFFFF
    return (1 - 2 * ((mixed ^ (mixed >> 15)) & 1)).float()


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
