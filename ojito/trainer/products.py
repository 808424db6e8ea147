"""Float32 products of linear layers through oneDNN, where it multiplies faster than PyTorch's own choice.

On a CPU PyTorch gives float32 to MKL, which takes twice as long as oneDNN on AMD's processors with AVX512, and is as
fast or faster on others. There alone a layer's three products are measured, once: forward, the gradient of its input
and that of its weight. One that is not clearly faster stays PyTorch's. What was chosen is part of a run's state: the
other library rounds sums otherwise, and a run that is gone on with is to end with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.meter.machine import machine
from ojito.trainer.state import TrainState

_GAIN = 1.3  # how many times as fast a product must be that goes another way
_SHAPE = (1024, 768, 768)  # rows, inputs and outputs of the layer that is measured
_ROUNDS = 7

Product = Callable[[Tensor, Tensor], Tensor]
"""rows (M, K) times a matrix (N, K), to (M, N)."""


@contextmanager
def fast_products(state: TrainState) -> Iterator[None]:
    """Context in which linear layers learn through the faster library. In bfloat16, or on a GPU, nothing changes.

    Args:
        state: The run.
    """
    layers: list[nn.Linear] = []
    if state.device.type == "cpu" and not state.bfloat16:
        state.products = state.products or choose(torch.get_num_threads())
        if any(state.products):
            head = state.model.decoder.untied_head  # its loss comes in chunks
            layers = [module for module in state.model.modules() if type(module) is nn.Linear and module is not head]
    try:
        for layer in layers:
            layer.__class__ = MeasuredLinear  # a copy of the model, or a block that is computed anew, has it, too
            layer.chosen = state.products  # type: ignore[assignment]
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            del layer.chosen


@lru_cache(maxsize=4)
def choose(threads: int) -> tuple[bool, bool, bool]:
    """Return whether oneDNN is clearly faster: forward, for the input's gradient and for the weight's.

    Args:
        threads: That PyTorch computes with.
    """
    onednn = _onednn()
    if onednn is None or not _is_slow_for_mkl():
        return False, False, False
    rows, inputs, outputs = _SHAPE
    hidden, weight, grad = torch.ones(rows, inputs), torch.ones(outputs, inputs), torch.ones(rows, outputs)
    pairs = ((hidden, weight), (grad, weight.t()), (grad.t(), hidden.t()))
    found = []
    for pair in pairs:
        rounds = [[_seconds(product, pair) for product in (F.linear, onednn)] for _ in range(_ROUNDS)]
        usual, other = map(min, zip(*rounds, strict=True))  # the least disturbed of each, in turns
        found.append(usual > _GAIN * other)
    return found[0], found[1], found[2]


class LinearFunction(torch.autograd.Function):
    """A linear layer whose three products each go the way that was chosen for them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, chosen: tuple[bool, bool, bool]
    ) -> Tensor:
        """The layer's output (..., N) of hidden states (..., K)."""
        ctx.save_for_backward(hidden if weight.requires_grad else None, weight)
        ctx.chosen, ctx.shape = chosen, hidden.shape
        output = _product(chosen[0])(hidden.reshape(-1, hidden.shape[-1]), weight)
        return (output if bias is None else output.add_(bias)).view(*hidden.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """Gradients of hidden states, weight and bias."""
        hidden, weight = ctx.saved_tensors
        grad, (for_input, for_weight, for_bias, _) = grads[0].reshape(-1, len(weight)), ctx.needs_input_grad
        _, second, third = ctx.chosen
        return (
            _product(second)(grad, weight.t()).view(ctx.shape) if for_input else None,
            _product(third)(grad.t(), hidden.reshape(-1, weight.shape[1]).t()) if for_weight else None,
            grad.sum(dim=0) if for_bias else None,
            None,
        )


class MeasuredLinear(nn.Linear):
    """A linear layer that learns through the faster library.

    Attributes:
        chosen: As `choose` returns it.
    """

    chosen: tuple[bool, bool, bool]

    def forward(self, hidden: Tensor) -> Tensor:
        """The layer's output."""
        learns = torch.is_grad_enabled() and (hidden.requires_grad or self.weight.requires_grad)
        floats = hidden.dtype == self.weight.dtype == torch.float32
        if learns and floats and hidden.numel() and not torch.compiler.is_compiling():
            return LinearFunction.apply(hidden, self.weight, self.bias, self.chosen)  # type: ignore[no-untyped-call]
        return super().forward(hidden)


def _product(by_onednn: bool) -> Product:
    onednn = _onednn() if by_onednn else None
    return F.linear if onednn is None else onednn


def _onednn() -> Product | None:
    """OneDNN's product; None where PyTorch was built without it."""
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if product is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return lambda rows, matrix: product(rows, matrix, None, "none", [], "")


def _is_slow_for_mkl() -> bool:
    """Whether this is a processor with AVX512 that is not Intel's."""
    about = machine(torch.device("cpu"))
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and "Intel" not in about["cpu"]


@torch.no_grad()
def _seconds(product: Product, pair: tuple[Tensor, Tensor]) -> float:
    """The seconds that a product takes."""
    start = time.perf_counter()
    product(*pair)
    return time.perf_counter() - start
