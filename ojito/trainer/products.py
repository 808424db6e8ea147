"""Float32 products of linear layers through oneDNN, where it multiplies faster than PyTorch's own choice.

On a CPU PyTorch gives float32 to MKL, which takes twice as long on some of AMD's processors and is as fast or faster on
others. A layer has three products: forward, the gradient of its input and that of its weight. Each is measured once,
and one that is not clearly faster stays PyTorch's. What was chosen is part of a run's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ojito.trainer.state import TrainState

_GAIN = 1.3  # how many times as fast a product must be that goes another way
_SHAPE = (1024, 768, 768)  # rows, inputs and outputs of the layer that is measured
_ROUNDS = 5

Product = Callable[[Tensor, Tensor], Tensor]
"""rows (M, K) times a matrix (N, K), to (M, N)."""


@contextmanager
def fast_products(state: TrainState) -> Iterator[None]:
    """Context in which linear layers learn through the faster library. In bfloat16, or on a GPU, nothing changes.

    Args:
        state: The run.
    """
    if state.device.type != "cpu" or state.bfloat16:
        yield
        return
    # The other library rounds sums otherwise: a run that is gone on with keeps what it began with.
    chosen = state.products = state.products or choose(torch.get_num_threads())
    if not any(chosen):
        yield
        return
    with _Rerouted(chosen):
        yield


@lru_cache(maxsize=4)
def choose(threads: int) -> tuple[bool, bool, bool]:
    """Return whether oneDNN is clearly faster: forward, for the input's gradient and for the weight's.

    Args:
        threads: That PyTorch computes with.
    """
    onednn = _onednn()
    if onednn is None:
        return False, False, False
    rows, inputs, outputs = _SHAPE
    hidden, weight, grad = torch.ones(rows, inputs), torch.ones(outputs, inputs), torch.ones(rows, outputs)
    pairs = ((hidden, weight), (grad, weight.t()), (grad.t(), hidden.t()))
    found = []
    for pair in pairs:
        seconds = {product: _seconds(product, pair) for product in (F.linear, onednn)}
        found.append(seconds[F.linear] > _GAIN * seconds[onednn])
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


class _Rerouted(TorchFunctionMode):
    """Mode in which `F.linear` is `LinearFunction`, for float32 with a backward pass."""

    def __init__(self, chosen: tuple[bool, bool, bool]) -> None:
        super().__init__()
        self._chosen = chosen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, or what takes its place."""
        kwargs = kwargs or {}
        if func is F.linear and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            hidden, weight, bias = (*args, kwargs.get("bias"))[:3]
            learns = any(tensor.requires_grad for tensor in (hidden, weight))
            if learns and hidden.dtype == weight.dtype == torch.float32 and hidden.numel():
                return LinearFunction.apply(hidden, weight, bias, self._chosen)  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)


def _product(by_onednn: bool) -> Product:
    onednn = _onednn() if by_onednn else None
    return F.linear if onednn is None else onednn


def _onednn() -> Product | None:
    """OneDNN's product; None where PyTorch was built without it."""
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if product is None or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return lambda rows, matrix: product(rows, matrix, None, "none", [], "")


@torch.no_grad()
def _seconds(product: Product, pair: tuple[Tensor, Tensor]) -> float:
    """The seconds of a product, the least of some: the least disturbed."""
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        product(*pair)
        times.append(time.perf_counter() - start)
    return min(times)
