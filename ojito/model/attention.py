"""The only attention: one function in two forms that agree, and the module that projects into it and out of it.

Attention weights can be read, or replaced, by name: the fused form never holds them, and with a forward hook on an
attention's `weights` that attention takes the eager form and passes them through it.

    model.decoder.blocks[3].attention.weights.register_forward_hook(lambda module, args, weights: print(weights.shape))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.model.backward import AttendFunction, by_hand, in_autocast
from ojito.model.cache import KVCache
from ojito.model.dropout import dropout as drop
from ojito.model.masks import mask_to_bias
from ojito.model.norms import make_norm
from ojito.model.rope import CosSin, apply_rope

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Bool, Float


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    mask: Bool[Tensor, "#B #H T S"] | Float[Tensor, "#B #H T S"] | None,
    scale: float,
    softcap: float = 0.0,
    dropout: float = 0.0,
    tap: nn.Module | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention output: for each query, the weighted mean of the values.

    Args:
        q: Queries.
        k: Keys; H / G query heads in a row share a key head.
        v: Values, with the keys' heads.
        mask: Bool, True where a query may attend to a key, or numbers to add to the scores,
            which is faster where one mask serves many layers (`masks.mask_to_bias`). None means everywhere.
        scale: Factor on the products of queries and keys.
        softcap: Bound of the scores, applied by tanh; 0 means none. Only the eager form has it.
        dropout: Share of the weights that are dropped.
        tap: Module that the weights (B, H, T, S) pass, in the eager form; None means none.
    """
    if softcap or tap is not None or prefers_eager(q, k, dropout):
        return attend_eager(q, k, v, mask, scale, softcap, dropout, tap)
    if learns_by_hand(q, k, mask, dropout):
        return AttendFunction.apply(q, k, v, mask, scale)  # type: ignore[no-untyped-call]
    return attend_sdpa(q, k, v, mask, scale, dropout)


def prefers_eager(q: Tensor, k: Tensor, dropout: float = 0.0) -> bool:
    """Whether the eager form is the faster one: for training on the CPU with dropout, at short lengths.

    There is no fused form of dropout on a CPU.
    """
    return q.device.type == "cpu" and q.requires_grad and bool(dropout) and q.shape[2] * k.shape[2] <= 192 * 192


def learns_by_hand(q: Tensor, k: Tensor, mask: Tensor | None, dropout: float = 0.0) -> bool:
    """Whether attention written out, with a backward pass by hand, is the fastest: for training on a CPU in bfloat16.

    Where a CPU multiplies bfloat16 fast (AMX), the fused form's backward pass takes more than half of a small model's
    step. In float32 the fused form takes as long as this one (`benchmarks/attention.py`), and without a backward pass
    it wins.
    """
    plain = not dropout and (mask is None or (mask.is_floating_point() and mask.dim() == 4 and mask.shape[1] == 1))
    return plain and q.dtype == k.dtype == torch.bfloat16 and q.requires_grad and by_hand(q)


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout: float = 0.0) -> Tensor:
    """Attention output in PyTorch's fused form, which never holds the (T, S) weights in memory."""
    shared = k.shape[1] != q.shape[1]
    if shared and q.shape[2] == 1 and (mask is None or mask.shape[1] == 1):
        # The query heads of one key head, as so many queries: otherwise PyTorch repeats the keys for each of them.
        together = q.reshape(len(q), k.shape[1], -1, q.shape[3])
        return F.scaled_dot_product_attention(together, k, v, mask, dropout, scale=scale).reshape(q.shape)
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=scale, enable_gqa=shared)


def attend_eager(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    mask: Bool[Tensor, "#B #H T S"] | Float[Tensor, "#B #H T S"] | None,
    scale: float,
    softcap: float = 0.0,
    dropout: float = 0.0,
    tap: nn.Module | None = None,
) -> Float[Tensor, "B H T K"]:
    """Attention output by the formula itself: softmax(q k^T) v. Arguments as for `attend`."""
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    q = q.reshape(B, G, H // G * T, K)  # the query heads of one key head, as one long query: no key is repeated
    if softcap:
        scores = (q @ k.transpose(-1, -2)) * scale  # in this order, bfloat16 is rounded where the reference rounds it
        scores = softcap * (scores / softcap).tanh()
    else:
        scores = (q * scale) @ k.transpose(-1, -2)  # (B, G, H/G T, S)
    scores = scores.view(B, H, T, S)
    if mask is not None:
        # Added, because filling takes twice the time, and again in the backward pass.
        scores = scores + (mask_to_bias(mask, scores.dtype) if mask.dtype == torch.bool else mask)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)  # a sum of bfloat16 would lose its tail
    if tap is not None:
        weights = tap(weights)
    if dropout:
        weights = drop(weights, dropout)
    return (weights.view(B, G, H // G * T, S) @ v).view(B, H, T, K)


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself or, with `context`, to another one.

    `weights` is an identity that does nothing but carry hooks: while it has any, it is called with the attention
    weights (B, H, T, S) before dropout, and what it returns is used in their place.

    Args:
        width: Of the input and the output.
        heads: Query heads.
        kv_heads: Key and value heads; None means `heads`.
        head_dim: Size of a head; None means width / heads.
        bias: Whether the projections of queries, keys and values have one.
        out_bias: Whether the output projection has one; None means as `bias`.
        norm: Norm of every head's query and key, before RoPE: a name as for `make_norm`, or "" for none.
        norm_eps: Of that norm.
        scale: Factor on the scores; None means 1 / sqrt(head_dim).
        softcap: See `attend`.
        dropout: Share of the attention weights that training drops.
        layer: The cache's layer that belongs to this module.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        *,
        bias: bool = True,
        out_bias: bool | None = None,
        norm: str = "",
        norm_eps: float = 1e-6,
        scale: float | None = None,
        softcap: float = 0.0,
        dropout: float = 0.0,
        layer: int = 0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, heads if kv_heads is None else kv_heads
        self.head_dim = width // heads if head_dim is None else head_dim
        self.scale = self.head_dim**-0.5 if scale is None else scale
        self.softcap, self.dropout, self.layer = softcap, dropout, layer
        # Separate at rest, so that mapping a public checkpoint onto them is renaming.
        self.q = nn.Linear(width, self.heads * self.head_dim, bias=bias)
        self.k = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.v = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.out = nn.Linear(self.heads * self.head_dim, width, bias=bias if out_bias is None else out_bias)
        self.q_norm = make_norm(norm, self.head_dim, norm_eps) if norm else nn.Identity()
        self.k_norm = make_norm(norm, self.head_dim, norm_eps) if norm else nn.Identity()
        self.weights = nn.Identity()

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "#B 1 T S"] | Float[Tensor, "#B 1 T S"] | None = None,
        rope: CosSin | None = None,
        cache: KVCache | None = None,
        context: Float[Tensor, "B S D"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Attention output, projected.

        Args:
            hidden: The sequence that the queries are made of.
            mask: See `attend`.
            rope: Cosines and sines for the positions of `hidden`.
            cache: Keys and values of earlier tokens, which this call adds to.
            context: The sequence that keys and values are made of; None means `hidden` itself.
        """
        hidden = in_autocast(hidden)
        context = hidden if context is None else in_autocast(context)
        q = self.q_norm(self.q(hidden).unflatten(-1, (self.heads, self.head_dim))).transpose(1, 2)  # (B, H, T, K)
        k = self.k_norm(self.k(context).unflatten(-1, (self.kv_heads, self.head_dim))).transpose(1, 2)  # (B, G, S, K)
        v = self.v(context).unflatten(-1, (self.kv_heads, self.head_dim)).transpose(1, 2)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        if cache is not None:
            k, v = cache.update(self.layer, k, v)
        tap = self.weights if self.weights._forward_hooks or self.weights._forward_pre_hooks else None
        gathered = attend(q, k, v, mask, self.scale, self.softcap, self.dropout if self.training else 0.0, tap)
        return self.out(gathered.transpose(1, 2).flatten(2))
