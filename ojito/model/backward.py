"""Steps of the model whose backward pass is written by hand, for training on a CPU.

A CPU waits for memory between two matrix products. PyTorch's own backward passes of these steps read and write the
hidden states many times over, and keep what can be computed anew from what is kept anyway. Elsewhere, and in compiled
code, PyTorch's own forms serve: it fuses them itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

_AT_ONCE = 2**18  # scores that are computed together: as many as a core's cache holds
_KEPT = 256 * 256  # scores of a head, up to which its weights are kept, and above which they are computed anew


def by_hand(tensor: Tensor) -> bool:
    """Whether a step on this tensor gets its backward pass from here."""
    on_cpu = tensor.device.type == "cpu" and torch.is_grad_enabled()
    return on_cpu and not torch.compiler.is_compiling()


def in_autocast(hidden: Tensor) -> Tensor:
    """Hidden states in the dtype that autocast multiplies in.

    Autocast rounds the input of each linear layer anew. Where several layers read the same hidden states, they are
    rounded, and kept for the backward pass, once.
    """
    kind = hidden.device.type
    if hidden.dtype == torch.float32 and kind != "meta" and torch.is_autocast_enabled(kind):
        return hidden.to(torch.get_autocast_dtype(kind))
    return hidden


class RMSNormFunction(torch.autograd.Function):
    """hidden / sqrt(mean(hidden^2) + eps) * weight, of float32. Keeps its input, and one number for each position."""

    @staticmethod
    def forward(ctx: Any, hidden: Float[Tensor, "... D"], weight: Float[Tensor, " D"], eps: float) -> Tensor:
        """The normalized hidden states."""
        squares = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_()
        factor = squares.div_(hidden.shape[-1]).add_(eps).rsqrt_()  # (..., 1)
        ctx.save_for_backward(hidden, weight, factor)
        return torch.mul(hidden, factor).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Gradients of the hidden states and of the weight."""
        hidden, weight, factor = ctx.saved_tensors
        D = weight.numel()
        rows, grad, factor = hidden.reshape(-1, D), grads[0].reshape(-1, D), factor.reshape(-1, 1)
        product = grad * rows
        for_weight = product.t() @ factor[:, 0] if ctx.needs_input_grad[1] else None
        pull = (product @ weight).unsqueeze(1).mul_(factor.pow(3)).div_(D)  # along the hidden states themselves
        for_hidden = torch.mul(grad, weight, out=product).mul_(factor).addcmul_(rows, pull, value=-1)
        return for_hidden.view_as(hidden), for_weight, None


class RopeFunction(torch.autograd.Function):
    """A rotation of the pairs of a head's numbers, whose backward pass is the rotation back."""

    @staticmethod
    def forward(ctx: Any, heads: Float[Tensor, "B H T K"], cos: Tensor, sin: Tensor) -> Tensor:
        """Queries or keys, rotated."""
        ctx.save_for_backward(cos, sin)
        return _rotate(heads, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of the heads."""
        cos, sin = ctx.saved_tensors
        return _rotate(grads[0], cos, sin, -1), None, None


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    half = heads.shape[-1] // 2
    turned = heads * cos
    turned[..., :half].addcmul_(heads[..., half:], sin[..., :half], value=-direction)
    turned[..., half:].addcmul_(heads[..., :half], sin[..., half:], value=direction)
    return turned


class AttendFunction(torch.autograd.Function):
    """Attention written out, a few rows at a time: their scores stay in the processor's cache.

    For bfloat16, where the backward pass of PyTorch's fused form takes most of a small model's step. Long rows keep no
    weights for the backward pass, which computes them anew.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B G S K"],
        v: Float[Tensor, "B G S K"],
        mask: Float[Tensor, "#B 1 T S"] | None,
        scale: float,
    ) -> Tensor:
        """Attention output (B, H, T, K)."""
        kept: list[Tensor] = []
        out = torch.empty_like(q)
        for rows in _rows(q, k):
            weights = _weights(q[rows], k[rows], _of_rows(mask, rows), scale)
            out[rows] = _split(weights @ _heads(v[rows]), q)
            if q.shape[2] * k.shape[2] <= _KEPT:
                kept.append(weights)
        ctx.save_for_backward(q, k, v, mask, *kept)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of queries, keys and values."""
        q, k, v, mask, *kept = ctx.saved_tensors
        for_q, for_k, for_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for number, rows in enumerate(_rows(q, k)):
            weights = kept[number] if kept else _weights(q[rows], k[rows], _of_rows(mask, rows), ctx.scale)
            grad = _grouped(grads[0][rows], k)
            for_v[rows] = (weights.transpose(1, 2) @ grad).view_as(for_v[rows])
            for_weights = grad @ _heads(v[rows]).transpose(1, 2)
            for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype)
            for_q[rows] = _split((for_scores @ _heads(k[rows])).mul_(ctx.scale), q)
            scaled = _grouped(q[rows], k) * ctx.scale
            for_k[rows] = (for_scores.transpose(1, 2) @ scaled).view_as(for_k[rows])
        return for_q, for_k, for_v, None, None


def _rows(q: Tensor, k: Tensor) -> list[slice]:
    """The rows of the batch, as many at a time as their scores fit the cache."""
    step = max(1, _AT_ONCE // (q.shape[1] * q.shape[2] * k.shape[2]))
    return [slice(start, start + step) for start in range(0, len(q), step)]


def _of_rows(mask: Tensor | None, rows: slice) -> Tensor | None:
    return mask if mask is None or len(mask) == 1 else mask[rows]


def _heads(keys: Tensor) -> Tensor:
    """Keys or values (b, G, S, K) as (b G, S, K)."""
    return keys.reshape(-1, *keys.shape[2:])


def _grouped(queries: Tensor, k: Tensor) -> Tensor:
    """Queries (b, H, T, K) as (b G, H/G T, K): those that share a key head are one long query."""
    return queries.reshape(len(queries) * k.shape[1], -1, queries.shape[3])


def _split(gathered: Tensor, q: Tensor) -> Tensor:
    """The reverse, (b, H, T, K)."""
    return gathered.view(-1, *q.shape[1:])


def _weights(q: Tensor, k: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention weights (b G, H/G T, S), in the queries' dtype; their sums are taken in float32."""
    scores = (_grouped(q, k) * scale) @ _heads(k).transpose(1, 2)
    if mask is not None:
        scores.view(len(q), q.shape[1], q.shape[2], -1).add_(mask)
    return scores.softmax(dim=-1)
