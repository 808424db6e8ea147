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
    gradient of the word's log-odds, the mean of the heads. It passes on what relevance tokens have gathered so far.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
        word: One of its words.

    Source: Chefer et al. 2021, arXiv 2103.15679, equations 5 and 6, for self-attention; there of a logit.
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
    """Gradient of a word's log-odds times input (squares, h, w), of each pixel that the model reads, without its sign.

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
    """The log-odds of the word's tokens, added: each logit against all others.

    A logit alone also rises with those of other words. And the gradient of a log-probability vanishes where the model
    is sure, which in float16 leaves nothing.
    """
    logits = answer_logits(model, batch, forced)[0, list(word.tokens)]
    tokens = torch.tensor([[forced.tokens[i]] for i in word.tokens], device=logits.device)
    others = logits.scatter(1, tokens, float("-inf")).logsumexp(dim=1)
    return (logits.gather(1, tokens)[:, 0] - others).sum()
