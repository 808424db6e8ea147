"""What a token is told by others: padding, later tokens, and whether logits and targets belong together."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.doctor.finding import Finding, alarm, healthy, skipped
from ojito.doctor.patient import Patient, difference, interval, labelled
from ojito.model import KVCache
from ojito.processor import RowError
from ojito.records import IGNORE, PADDING, Batch, Sample

_CLEARLY = 0.7  # of the unshifted loss
_FEWEST = 4  # rows
_STEPS = 4


def padding(patient: Patient) -> Finding:
    """Is a row answered alone as it is in a batch with a longer one?"""
    pair = _two_lengths(patient)
    if pair is None:
        return skipped("all rows have the same length, and there is no room for a longer one")
    short, long = pair
    worst, where, read = 0.0, "", False
    for left in (True, False):
        alone = patient.processor.batch(patient.rows([short], training=not left), left=left)
        beside = patient.processor.batch(patient.rows([short, long], training=not left), left=left)
        places, among = (_last(b) if left else labelled(b) & (b.segments != PADDING) for b in (alone, beside))
        among = among & (torch.arange(2) == 0)[:, None]
        expected, found = patient.logits(alone, places), patient.logits(beside, among)
        apart = difference(expected, found)
        if not apart <= worst:
            worst, where = apart, "left" if left else "right"
            size = patient.model.config.decoder.vocab_size
            other = torch.where(beside.segments == PADDING, (beside.tokens + 1) % size, beside.tokens)
            changed = patient.logits(dataclasses.replace(beside, tokens=other), among)
            read = difference(found, changed) > patient.tolerance
    if worst <= patient.tolerance:
        return healthy("a row alone and in a padded batch has the same logits", difference=worst)
    why = "tokens attend to padding" if read else "positions move with the padding"
    return alarm(
        f"with padding on the {where}, a row has other logits than alone: {why}",
        "mask padded keys for every query" if read else "count positions from the first token that is no padding",
        difference=worst,
        padding_read=read,
        side=where,
    )


def causality(patient: Patient) -> Finding:
    """Are logits blind to the tokens that they shall predict?"""
    sample = max(patient.samples, key=lambda one: len(one.dialogue[0].answers[0]))
    batch = patient.processor([sample], training=True)
    places = labelled(batch)[0].nonzero()[:, 0]
    if len(places) < 2:
        return skipped("no answer has two tokens")
    before = torch.zeros_like(batch.tokens, dtype=torch.bool)
    before[0, places[:-1]] = True
    tokens = batch.tokens.clone()
    # At its own place a target is the input of the next one: change all that stand at or after the last place.
    tokens[0, places[-1] :] = (tokens[0, places[-1] :] + 1) % patient.model.config.decoder.vocab_size
    expected = patient.logits(batch, before)
    apart = difference(expected, patient.logits(dataclasses.replace(batch, tokens=tokens), before))
    if apart <= patient.tolerance:
        return healthy("earlier logits do not depend on later tokens of an answer", difference=apart)
    marked = bool(batch.prefix[0, places[1:]].any())
    return alarm(
        "the answer can be read before it is written: earlier logits depend on later tokens",
        "mark only image and prompt as prefix" if marked else "mask later tokens, in training and with an empty cache",
        difference=apart,
        answer_in_prefix=marked,
    )


def decoding(patient: Patient) -> Finding:
    """Does the model, prepared and with a cache, say token by token what it says in one pass?"""
    sample = patient.samples[0]
    batch = patient.processor([sample], training=True).to(patient.model.device)
    model, length = patient.pipe.prepared(), batch.tokens.shape[1]
    prompt = len(patient.rows([sample], training=False)[0].tokens)
    first = max(prompt, length - _STEPS)
    cache = KVCache(model.config.decoder, 1, length, model.dtype, model.device)
    hidden = [model.features(_columns(batch, 0, first), cache)[:, -1:]]
    hidden += [model.features(_columns(batch, at, at + 1), cache) for at in range(first, length)]
    where = torch.zeros_like(batch.tokens, dtype=torch.bool)
    where[:, first - 1 :] = True
    expected, found = patient.logits(batch, where), model.head(torch.cat(hidden, 1))[0].float().cpu()
    apart = difference(expected, found)
    if apart <= patient.tolerance:
        return healthy(f"{length - first} steps with a cache give the logits of one pass", difference=apart)
    at = [difference(a[None], b[None]) for a, b in zip(expected, found, strict=True)]
    return alarm(
        "with a cache, logits are others than in one pass",
        "check positions of decoding steps, the order of keys in the cache, and that the first pass fills it",
        difference=apart,
        by_step=at,
    )


def alignment(patient: Patient) -> Finding:
    """Is the loss lowest where logits and targets belong together?"""
    each = patient.model.config.image_tokens
    shifts = [shift for shift in (0, -1, 1, -each, each) if shift or not each]
    shifts = list(dict.fromkeys([0, *shifts]))
    losses: dict[int, list[float]] = {shift: [] for shift in shifts}
    for batch in patient.batches(patient.samples):
        for number in range(len(batch.tokens)):
            for shift, loss in _shifted(patient, batch, number, shifts).items():
                losses[shift].append(loss)
    means = {shift: interval(found)[0] for shift, found in losses.items() if found}
    evidence = {"loss": means[0], "shifted": {f"{s:+d}": m for s, m in means.items() if s}, "rows": len(losses[0])}
    if not patient.own:
        return skipped("without data that the model has learned, give DATA")
    best = min(means, key=lambda shift: means[shift])
    if best and patient.learned(means[best]) and means[best] < _CLEARLY * means[0] and len(losses[0]) >= _FEWEST:
        gaps = (
            [a - b for a, b in zip(losses[0], losses[best], strict=True)] if len(losses[best]) == len(losses[0]) else []
        )
        if not gaps or interval(gaps)[1] > 0:
            return alarm(
                f"the loss is {means[0]:.3f}, and {means[best]:.3f} with logits {best:+d} tokens away: targets and "
                "logits are misaligned",
                "shift the targets once, in one place; visual tokens have logits, too",
                **evidence,
            )
    return healthy(f"loss {means[0]:.3f}, and no lower when shifted", **evidence)


def _shifted(patient: Patient, batch: Batch, number: int, shifts: list[int]) -> dict[int, float]:
    """Loss of a row's targets, nats, with the logits so many tokens away; without those that would leave the row."""
    places = labelled(batch)[number].nonzero()[:, 0]
    own = (batch.segments[number] != PADDING).nonzero()[:, 0]
    losses = {}
    for shift in shifts:
        at = places + shift
        kept = (at >= own[0]) & (at <= own[-1])
        if bool(kept.any()):
            where = torch.zeros_like(batch.tokens, dtype=torch.bool)
            where[number, at[kept]] = True
            wanted = batch.targets[number, places[kept]].cpu()
            losses[shift] = float(F.cross_entropy(patient.logits(batch, where), wanted, ignore_index=IGNORE))
    return losses


def _columns(batch: Batch, first: int, end: int) -> Batch:
    """Some columns of a batch; its images come with the first of them."""
    columns = {
        name: getattr(batch, name)[:, first:end] for name in ("tokens", "positions", "segments", "prefix", "targets")
    }
    return dataclasses.replace(batch, **columns, images=batch.images if first == 0 else None)


def _last(batch: Batch) -> Tensor:
    """The last place of each row (B, T)."""
    where = torch.zeros_like(batch.tokens, dtype=torch.bool)
    where[:, -1] = True
    return where


def _two_lengths(patient: Patient) -> tuple[Sample, Sample] | None:
    """Two samples about the same images, of which the second is longer, with its answer and without.

    Returns:
        None where the decoder has no room for a longer one.
    """
    short, *others = sorted(patient.samples, key=lambda sample: _lengths(patient, sample))
    (turn,) = short.dialogue
    doubled = dataclasses.replace(turn, prompt=f"{turn.prompt or turn.answers[0]} " * 2 + turn.prompt)
    turns = [(doubled,), *(sample.turns for sample in reversed(others))]
    for longer in (dataclasses.replace(short, turns=one) for one in turns):
        try:
            if all(a > b for a, b in zip(_lengths(patient, longer), _lengths(patient, short), strict=True)):
                return short, longer
        except RowError:
            continue
    return None


def _lengths(patient: Patient, sample: Sample) -> tuple[int, int]:
    """Tokens of a sample as a question, and with its answer."""
    asked, learned = (len(patient.rows([sample], training=training)[0].tokens) for training in (False, True))
    return asked, learned
