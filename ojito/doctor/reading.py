"""What a token is told by others: padding, later tokens, and whether logits and targets belong together."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.doctor.finding import Finding, alarm, healthy, skipped
from ojito.doctor.patient import Patient, difference, interval, labelled
from ojito.processor import RowError
from ojito.records import IGNORE, PADDING, Batch, Sample

_CLEARLY = 0.7  # of the unshifted loss
_FEWEST = 4  # rows


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


def _last(batch: Batch) -> Tensor:
    """The last place of each row (B, T)."""
    where = torch.zeros_like(batch.tokens, dtype=torch.bool)
    where[:, -1] = True
    return where


def _two_lengths(patient: Patient) -> tuple[Sample, Sample] | None:
    """Two samples, of which the second is longer, as a question and with its answer; None where there is no room."""
    samples = patient.samples
    asked, learned = ([len(row.tokens) for row in patient.rows(training=training)] for training in (False, True))
    first = min(range(len(samples)), key=lambda i: (asked[i], learned[i]))
    longer = [i for i in range(len(samples)) if asked[i] > asked[first] and learned[i] > learned[first]]
    if longer:
        return samples[first], samples[longer[-1]]
    (turn,) = samples[first].dialogue
    words = (turn.prompt or turn.answers[0]) + " "
    long = dataclasses.replace(samples[first], turns=(dataclasses.replace(turn, prompt=words * 2 + turn.prompt),))
    try:
        patient.rows([long], training=False)
        patient.rows([long])
    except RowError:
        return None
    return samples[first], long
