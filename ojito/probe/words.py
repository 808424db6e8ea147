"""Words of an answer with their probabilities and alternatives, and the words that visual tokens are nearest to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ojito.generate import evaluating
from ojito.model import VLM
from ojito.probe.attention import check_number
from ojito.probe.forced import ForcedAnswer, Word, answer_logits, log_probability
from ojito.processor import Processor
from ojito.records import Batch

Likely = tuple[str, float]
"""A token as text, and its probability."""


@dataclass(frozen=True)
class SaidToken:
    """A token of an answer, where the model had read what stands before it.

    Attributes:
        token: Its id.
        text: Its text.
        probability: Of the token.
        alternatives: The likeliest other tokens, and theirs.
    """

    token: int
    text: str
    probability: float
    alternatives: tuple[Likely, ...]


def said_tokens(model: VLM, processor: Processor, forced: ForcedAnswer, alternatives: int = 3) -> list[SaidToken]:
    """Return the tokens of an answer, with their probabilities and alternatives.

    Args:
        model: The model.
        processor: Of the model.
        forced: The answer.
        alternatives: How many of them.
    """
    probabilities = _logits(model, forced.batch(processor), forced)[0].softmax(dim=-1)
    said = []
    for token, row in zip(forced.tokens, probabilities, strict=True):
        others = [(text, p) for i, text, p in _likeliest(row, processor, alternatives + 1) if i != token]
        said.append(SaidToken(token, processor.tokenizer.shown(token), float(row[token]), tuple(others[:alternatives])))
    return said


def word_probabilities(model: VLM, batch: Batch, forced: ForcedAnswer) -> list[tuple[Word, float]]:
    """Return the words of an answer, each with its probability: the product of those of its tokens.

    Args:
        model: The model.
        batch: `forced` as a batch of one row.
        forced: The answer.
    """
    logits = _logits(model, batch, forced)
    return [(word, math.exp(float(log_probability(logits, forced, word)))) for word in forced.words]


def nearest_words(
    model: VLM, processor: Processor, forced: ForcedAnswer, layer: int | None = None, count: int = 3
) -> list[list[Likely]]:
    """Return, for each visual token, the tokens that the head would read in it (the logit lens).

    Args:
        model: The model.
        processor: Of the model.
        forced: A row with the image.
        layer: Of the decoder, counted from 0: its output is read. None means the visual tokens before the first.
        count: How many for each.

    Raises:
        OjitoError: The decoder has no such layer.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; of visual tokens, Neo et al. 2024,
    arXiv 2410.07149.
    """
    check_number("layer", layer, model.config.decoder.layers)
    batch = forced.batch(processor).to(model.device)
    with torch.no_grad(), evaluating(model):
        if layer is None:
            visual = model.encode(batch.images).flatten(0, 1)  # type: ignore[arg-type] # a forced answer has an image
        else:
            visual = _output(model, batch, layer)[0, forced.image_positions]
        probabilities = model.head(model.decoder.norm(visual)).softmax(dim=-1)
    return [[(text, p) for _, text, p in _likeliest(row, processor, count)] for row in probabilities]


def _output(model: VLM, batch: Batch, layer: int) -> Tensor:
    """Hidden states (B, T, D) that a layer of the decoder puts out."""
    kept: list[Tensor] = []
    hook = model.decoder.blocks[layer].register_forward_hook(lambda module, args, hidden: kept.append(hidden))
    try:
        model.features(batch)
    finally:
        hook.remove()
    return kept[0]


def _logits(model: VLM, batch: Batch, forced: ForcedAnswer) -> Tensor:
    with torch.no_grad(), evaluating(model):
        return answer_logits(model, batch, forced)


def _likeliest(probabilities: Tensor, processor: Processor, count: int) -> list[tuple[int, str, float]]:
    """Ids, texts and probabilities of the likeliest tokens that the tokenizer knows."""
    known = probabilities[: processor.tokenizer.size]
    values, ids = known.topk(min(count, len(known)))
    return [(int(i), processor.tokenizer.shown(int(i)), float(value)) for value, i in zip(values, ids, strict=True)]
