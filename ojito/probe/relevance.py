"""Relevance by gradients: attention weighted by what it does for a word, and pixels likewise."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ojito.generate import evaluating
from ojito.model import VLM
from ojito.probe.attention import recording
from ojito.probe.forced import ForcedAnswer, Word, answer_logits
from ojito.records import Batch


def relevance_map(model: VLM, batch: Batch, forced: ForcedAnswer, word: Word) -> Tensor:
    """Relevance (P,) of each visual token for a word.

    In a layer, attention counts as far as more of it would make the word likelier: the positive part of weight times
    gradient, the mean of the heads. The relevance that tokens have gathered is passed on by it, layer by layer.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
        word: One of its words.

    Source: Chefer et al. 2021, arXiv 2103.15679, equations 5 and 6, for self-attention.
    """
    with torch.enable_grad(), evaluating(model), recording(model, _followed) as layers:
        score = _score(model, batch, forced, word)
        gradients = torch.autograd.grad(score, layers)
    relevance = torch.eye(layers[0].shape[-1], device=layers[0].device)
    for weights, gradient in zip(layers, gradients, strict=True):
        counted = (weights.detach() * gradient)[0].float().clamp(min=0).mean(dim=0)  # (T, T)
        relevance = relevance + counted @ relevance
    return relevance[forced.positions(word)][:, forced.image_positions].mean(dim=0).cpu()


def gradient_map(model: VLM, batch: Batch, forced: ForcedAnswer, word: Word) -> Tensor:
    """Gradient times input (squares, h, w) of each pixel of what the model read, without its sign.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
        word: One of its words.

    Source: Shrikumar et al. 2016, arXiv 1605.01713.
    """
    with torch.enable_grad(), evaluating(model):
        images = batch.images.detach().to(model.device).requires_grad_()  # type: ignore[union-attr] # there is an image
        score = _score(model, dataclasses.replace(batch, images=images), forced, word)
        (gradient,) = torch.autograd.grad(score, [images])
    return (gradient * images.detach()).sum(dim=1).abs().float().cpu()


def _followed(weights: Tensor) -> Tensor:
    """The weights themselves, which have a gradient even where no parameter is trained."""
    return weights if weights.requires_grad else weights.requires_grad_()


def _score(model: VLM, batch: Batch, forced: ForcedAnswer, word: Word) -> Tensor:
    """The sum of the logits of the word's tokens."""
    logits = answer_logits(model, batch, forced)[0]
    return torch.stack([logits[i, forced.tokens[i]] for i in word.tokens]).sum()
