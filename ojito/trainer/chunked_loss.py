"""The loss over a large vocabulary, a few labels at a time: their logits are never there all at once.

Logits in float32, their log-softmax and its gradient are three tensors of labels x vocabulary. Here a chunk of them is
made, turned into its own gradient in place, and multiplied by the head and by the hidden states at once; what is kept
for the backward pass are those two products.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ojito.model import VLM

CHUNK = 2**24
"""Logits that are there at once: 64 MiB of float32."""

SMALL = 2**22
"""Logits up to which the plain way is as good."""


def summed_loss(model: VLM, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the cross-entropies of hidden states at labelled positions, in nats.

    Args:
        model: Whose head it is.
        hidden: (labels, D), after the final norm.
        targets: (labels), the token that each of them shall predict.
    """
    head, vocabulary = model.decoder.head, model.config.decoder.vocab_size
    if len(targets) * vocabulary <= SMALL:
        return _loss(model, hidden, targets)
    rows = max(1, CHUNK // vocabulary)
    weight = head.weight
    if not torch.is_grad_enabled():  # a function of its own does not see that, and would compute gradients for nobody
        hidden, weight = hidden.detach(), weight.detach()
    if head.plain and type(weight.detach()) is Tensor:  # and no piece of one that lies on several devices
        return ChunkedLoss.apply(hidden, weight, targets, head.softcap, rows)  # type: ignore[no-untyped-call]
    chunks = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.stack([checkpoint(_loss, model, *chunk, use_reentrant=False) for chunk in chunks]).sum()


def _loss(model: VLM, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model.head(hidden), targets, reduction="sum")


class ChunkedLoss(torch.autograd.Function):
    """Sum of cross-entropies, whose gradients are computed with it. One backward pass uses them up."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        softcap: float,
        rows: int,
    ) -> Tensor:
        """The sum, in float32.

        Args:
            ctx: Keeps the gradients.
            hidden: (labels, D) hidden states.
            weight: (V, D), the head's matrix.
            targets: (labels), tokens to predict.
            softcap: Bound of the logits, applied by tanh; 0 means none.
            rows: Of a chunk.
        """
        kind = hidden.device.type
        rounds = kind != "meta" and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if rounds else hidden.dtype
        matrix, read = weight.to(dtype), hidden.to(dtype)
        for_hidden = torch.empty_like(read) if ctx.needs_input_grad[0] else None
        for_weight: Tensor | None = None
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets), rows):
            part = slice(start, start + rows)
            gradient = _logits(read[part], matrix, softcap)  # so far they are the logits
            expected = targets[part, None]
            normalizer = gradient.logsumexp(dim=-1, keepdim=True)
            total += (normalizer - gradient.gather(1, expected)).sum()
            if for_hidden is None and not ctx.needs_input_grad[1]:
                continue
            slope = 1 - (gradient / softcap).square_() if softcap else None
            gradient.sub_(normalizer).exp_()
            gradient.scatter_add_(1, expected, gradient.new_full(expected.shape, -1.0))
            gradient = (gradient if slope is None else gradient.mul_(slope)).to(dtype)
            if for_hidden is not None:
                torch.mm(gradient, matrix, out=for_hidden[part])
            if ctx.needs_input_grad[1]:  # summed in float32: rounded sums would lose the smaller ones
                if for_weight is None:
                    for_weight = (gradient.t() @ read[part]).float()
                elif dtype == torch.float32:
                    for_weight.addmm_(gradient.t(), read[part])
                else:
                    for_weight += gradient.t() @ read[part]
        given = (for_hidden, hidden), (for_weight, weight)
        ctx.gradients = [None if one is None else one.to(of.dtype) for one, of in given]
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Gradients of the hidden states and of the head's matrix."""
        for_hidden, for_weight = ctx.gradients
        ctx.gradients = None
        scaled = [None if one is None else one.mul_(grads[0].to(one.dtype)) for one in (for_hidden, for_weight)]
        return scaled[0], scaled[1], None, None, None


def _logits(hidden: Tensor, matrix: Tensor, softcap: float) -> Tensor:
    logits = (hidden @ matrix.t()).float()
    return logits.div_(softcap).tanh_().mul_(softcap) if softcap else logits
