"""How each part of a model learns: the norm of its gradient, its learning rate, and how far a step moves it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ojito.model import VLM
from ojito.trainer.parallel import full, local

if TYPE_CHECKING:
    from ojito.trainer.last_good import LastGood
    from ojito.trainer.state import TrainState

_SMALL = 1e-6  # added to a norm that is divided by, as PyTorch's clipping does


@torch.no_grad()
def clip_gradients(model: VLM, most: float) -> dict[str, float]:
    """Scale the gradients down where their norm is greater than `most`; return the norms from before.

    The norm of all is made of those of the parts, so that these cost nothing more.

    Args:
        model: With gradients.
        most: Norm over all parameters; 0 clips nothing.

    Returns:
        The norm of each part that learns, and of "all".
    """
    parts = {name: [p for p in part.parameters() if p.grad is not None] for name, part in model.parts.items()}
    norms = {
        name: nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
        for name, learning in parts.items()
        if learning
    }
    if not norms:
        return {"all": 0.0}
    values = torch.stack([full(norm) for norm in norms.values()]).tolist()  # waits for the device once
    total = math.hypot(*values)
    if most and most < total < math.inf:
        grads = [local(p.grad) for learning in parts.values() for p in learning if p.grad is not None]
        torch._foreach_mul_(grads, most / (total + _SMALL))
    return {**dict(zip(norms, values, strict=True)), "all": total}


def rates(optimizers: Iterable[Optimizer]) -> dict[str, float]:
    """Return the learning rate in use of each part that learns; of its hidden matrices under Muon, "decoder muon"."""
    found: dict[str, float] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            found.setdefault(group["name"].replace(" no decay", "").replace(" decay", ""), float(group["lr"]))
    return found


@torch.no_grad()
def update_ratios(model: VLM, before: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return how far the last update moved each part: the norm of the change to that of the weights.

    Healthy training is near 0.001. Far less hardly learns, far more forgets.

    Args:
        model: After the update.
        before: Parameters, each with a copy of what it was.
    """
    copies = {id(parameter): copy for parameter, copy in before}
    ratios: dict[str, float] = {}
    for name, part in model.parts.items():
        now: list[Tensor] = [p for p in part.parameters() if id(p) in copies]
        if not now:
            continue
        old = [copies[id(p)] for p in now]
        change = nn.utils.get_total_norm(torch._foreach_sub(now, old))
        norm = float(full(nn.utils.get_total_norm(old)))
        ratios[name] = float(full(change)) / norm if norm else math.nan
    return ratios


def figures(state: TrainState, good: LastGood) -> dict[str, dict[str, float]]:
    """Return the figures of each part for the log: "grad_norm", "part_lr" and "update_ratio", those that are known.

    Args:
        state: The run, after the step.
        good: Has the weights from before it, of all but a large model.
    """
    found = {"grad_norm": {name: _short(norm) for name, norm in state.movement.norms.items()}}
    found["part_lr"] = {name: _short(rate) for name, rate in rates(state.optimizers).items()}
    if before := good.before():
        ratios = update_ratios(state.model, before)
        found["update_ratio"] = {name: _short(ratio) for name, ratio in ratios.items()}
    return found


def _short(value: float) -> float:
    return float(f"{value:.5g}")
