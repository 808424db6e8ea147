"""Attention of a word to the image: by layer and head, their mean, and rolled out through the layers.

The decoder's attention is recorded, not recomputed: a hook on `Attention.weights` has that module take its eager form,
which agrees with the fused one, and what is recorded is what the output was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ojito.errors import OjitoError
from ojito.generate import evaluating
from ojito.model import VLM
from ojito.probe.forced import ForcedAnswer, Word
from ojito.records import Batch


@contextmanager
def recording(model: VLM, keep: Callable[[Tensor], Tensor] | None = None) -> Iterator[list[Tensor]]:
    """Context in which the decoder's attention weights are recorded.

    Args:
        model: Any, but no `Prepared` one, whose modules are not called.
        keep: What to keep of the weights (B, H, T, S) of a layer; None keeps them all.

    Yields:
        A list that a forward pass extends by an entry for each layer, in their order.
    """
    recorded: list[Tensor] = []

    def record(module: nn.Module, args: tuple[Tensor], weights: Tensor) -> None:
        recorded.append(weights if keep is None else keep(weights))

    hooks = [block.attention.weights.register_forward_hook(record) for block in model.decoder.blocks]  # type: ignore[union-attr]
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


def attention_map(
    model: VLM, batch: Batch, forced: ForcedAnswer, word: Word, layer: int | None = None, head: int | None = None
) -> Tensor:
    """Attention (P,) that is paid to each visual token where a word is predicted: the mean over the word's tokens.

    Its sum is the share of the attention that goes to the image.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
        word: One of its words.
        layer: One layer of the decoder, counted from 0; None means all of them.
        head: One head of each, counted from 0; None means all of them.

    Raises:
        OjitoError: The decoder has no such layer or head.
    """
    config = model.config.decoder
    check_number("layer", layer, config.layers)
    check_number("head", head, config.heads)
    rows, columns = forced.positions(word), forced.image_positions
    with torch.no_grad(), evaluating(model), recording(model, lambda w: w[0, :, rows][:, :, columns].float()) as kept:
        model.features(batch)
    weights = torch.stack(kept)  # (layers, H, word's tokens, P)
    weights = weights if layer is None else weights[layer : layer + 1]
    weights = weights if head is None else weights[:, head : head + 1]
    return weights.mean(dim=(0, 1, 2)).cpu()


def rollout_map(model: VLM, batch: Batch, forced: ForcedAnswer, word: Word) -> Tensor:
    """Attention (P,) of a word to each visual token, with what reached it through other tokens.

    In a layer, half of a token is taken to be what it was, and half what it attends to, by the mean of the heads; the
    matrices of all layers are multiplied.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
        word: One of its words.

    Source: Abnar & Zuidema 2020, arXiv 2005.00928, "attention rollout".
    """
    with torch.no_grad(), evaluating(model), recording(model, lambda w: w[0].float().mean(dim=0)) as layers:
        model.features(batch)
    reached = torch.eye(len(layers[0]), device=layers[0].device)
    for weights in layers:
        reached = (reached + weights @ reached) / 2
    return reached[forced.positions(word)][:, forced.image_positions].mean(dim=0).cpu()


def check_number(name: str, number: int | None, count: int) -> None:
    """Check that a layer or a head is one of the decoder's.

    Raises:
        OjitoError: It is not.
    """
    if number is not None and not 0 <= number < count:
        raise OjitoError(name, f"{number} is none of the decoder's {count}", f"use 0 to {count - 1}")
