"""How rows are written as tokens: vocabulary, template, bos, separator, eos, and what is learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ojito.config import PromptConfig
from ojito.doctor.finding import Finding, alarm, healthy, note, skipped
from ojito.doctor.patient import Patient
from ojito.processor.prompts import Row
from ojito.records import IGNORE, IMAGE, PADDING, Sample, Turn

_ENDINGS = ("?", ".", "a", "e", "7", "!", ":", ")")  # of questions: one may be in a token with what follows
_SHIFTS = (-2, -1, 1, 2)


def vocabulary(patient: Patient) -> Finding:
    """Has every token an embedding?"""
    size, tokenizer = patient.model.config.decoder.vocab_size, patient.processor.tokenizer
    rows = max((max(row.tokens) for row in patient.rows()), default=0) + 1
    reach = max(tokenizer.reach, rows)
    if reach > size:
        return alarm(
            f"the tokenizer writes ids up to {reach - 1}, and the decoder has embeddings for {size}",
            "give the model its own tokenizer, or raise model.decoder.vocab_size and train the new rows",
            tokens=reach,
            embeddings=size,
        )
    return healthy(f"{reach} tokens, {size} embeddings", tokens=reach, embeddings=size)


def placeholders(patient: Patient) -> Finding:
    """Are there as many placeholder tokens in a row as the connector makes visual tokens?"""
    sample = patient.samples[0]
    row = patient.rows([sample])[0]
    images = patient.processor([sample]).images
    if images is None:
        return alarm("the processor brings no image", "return the pixels in Batch.images", images=0)
    visual = patient.model.encode(images.to(patient.model.device))
    written, made = row.tokens.count(IMAGE), visual.shape[0] * visual.shape[1]
    if written != made:
        each = visual.shape[1]
        return alarm(
            f"a row has {written} placeholder tokens, and the connector makes {made} visual tokens",
            f"write {each} placeholders for each square of an image (Processor.for_model takes it from the config)",
            placeholders=written,
            visual_tokens=made,
        )
    return healthy(f"{written} placeholder tokens for {made} visual tokens", placeholders=written, visual_tokens=made)


def template(patient: Patient) -> Finding:
    """Does the processor write prompts as the model was trained with?"""
    found = patient.processor.config.prompt
    if patient.pipe.config is None:
        if _is_paligemma(patient) and (found.image, found.separator) != ("front", "\n"):
            return alarm(
                f"PaliGemma reads its images in front and '\\n' after the prompt, not image={found.image} and "
                f"{found.separator!r}",
                "set processor.prompt to image=front, separator='\\n'",
                image=found.image,
                separator=found.separator,
            )
        return healthy(f"{_shown(patient)}; the model's folder has no recipe to compare with")
    wanted = patient.pipe.config.processor.prompt
    unlike = {
        field.name: (getattr(wanted, field.name), getattr(found, field.name))
        for field in dataclasses.fields(PromptConfig)
        if getattr(wanted, field.name) != getattr(found, field.name)
        and field.name not in ("max_tokens", "loss", "turns", "answers")
    }
    if unlike:
        named = ", ".join(f"{name} is {was!r}, not {ours!r}" for name, (ours, was) in unlike.items())
        return alarm(
            f"prompts are not written as in training: {named}",
            "give the model the processor that it was trained with",
            trained={name: ours for name, (ours, _) in unlike.items()},
            written={name: was for name, (_, was) in unlike.items()},
        )
    return healthy(_shown(patient))


def bos(patient: Patient) -> Finding:
    """Does a row begin with the begin-of-text token, once, where the model wants one?"""
    tokenizer, prompt = patient.processor.tokenizer, patient.processor.config.prompt
    if tokenizer.bos is None:
        return healthy("the tokenizer has none")
    row = patient.rows(patient.samples[:1])[0]
    text = [token for token in row.tokens if token != IMAGE]
    name = tokenizer.shown(tokenizer.bos)
    begins = text[0] == tokenizer.bos
    wanted = prompt.bos if patient.pipe.config is None else patient.pipe.config.processor.prompt.bos
    gemma = patient.pipe.config is None and _is_gemma(patient)
    evidence = {"first_tokens": [tokenizer.shown(token) for token in text[:4]]}
    if text[:2] == [tokenizer.bos] * 2:
        return alarm(f"{name} is written twice", "take it out of processor.prompt.user, or set bos=false", **evidence)
    if not begins and (wanted or gemma):
        why = "Gemma was trained with it before every text" if gemma else "prompt.bos asks for it"
        return alarm(f"{name} is missing at the beginning: {why}", "set processor.prompt.bos=true", **evidence)
    templated = tokenizer.parse(prompt.user)[:1] == [tokenizer.bos] or prompt.user_with_system
    if begins and not wanted and not templated:
        return alarm(f"{name} begins a row, and the prompt has none", "encode without special tokens", **evidence)
    return healthy(f"{name} once" if begins else "none is wanted", **evidence)


def separator(patient: Patient) -> Finding:
    """Is what follows a question the same tokens after every question?"""
    prompt, tokenizer = patient.processor.config.prompt, patient.processor.tokenizer
    words = [part for part in tokenizer.parse(prompt.separator) if isinstance(part, str)]
    if not words or prompt.separator[:1] != words[0][:1]:
        return healthy("nothing that could merge with a question follows it")
    samples = [
        Sample(patient.samples[0].images, turns=(Turn("is it" + ending, ("yes",)),)) for ending in _ENDINGS
    ]  # fmt: skip
    tails = [row.tokens for row in patient.rows(samples, training=False)]
    common = 0
    while all(len(tail) > common for tail in tails) and len({tail[-1 - common] for tail in tails}) == 1:
        common += 1
    said = tokenizer.decode(tails[0][len(tails[0]) - common :]) if common else ""
    plain = "".join(words)
    if plain.strip() in said and (plain.strip() or common >= 1):
        return healthy(f"{prompt.separator!r} is {common} tokens of its own", tokens=common)
    says = f"{prompt.separator!r} merges with the question before it: rows end in different tokens"
    evidence = {"endings": {e: tokenizer.shown(tail[-1]) for e, tail in zip(_ENDINGS, tails, strict=True)}}
    if prompt.joined:
        return note(says, "set processor.prompt.joined=false, unless the model was trained so", **evidence)
    return alarm(says, "encode question and separator apart, and join their ids", **evidence)


def eos(patient: Patient) -> Finding:
    """Is the end of every answer learned?"""
    ends, rows = patient.processor.tokenizer.ends, patient.rows()
    without = sum(not set(row.targets) & {*ends} for row in rows)
    name = patient.processor.tokenizer.shown(ends[0])
    if without:
        return alarm(
            f"{without} of {len(rows)} answers have no {name} among their targets: the model never learns to stop",
            "append it to every answer, and label it",
            without=without,
            rows=len(rows),
        )
    return healthy(f"{name} ends all {len(rows)} answers", rows=len(rows))


def targets(patient: Patient) -> Finding:
    """Is every target the token after its place?"""
    rows = [row for row in patient.rows() if any(target != IGNORE for target in row.targets)]
    if not rows:
        return alarm("no token has a target: nothing is learned", "label the answers", rows=0)
    right = _agreement(rows, 0)
    if right < 1:
        others = {shift: _agreement(rows, shift) for shift in _SHIFTS}
        shift = max(others, key=lambda s: others[s])
        where = (
            f": they are {shift:+d} tokens away" if others[shift] > right else ""
        )  # -1: the token at the place itself
        return alarm(
            f"{1 - right:.0%} of the targets are not the next token{where}",
            "targets[t] = tokens[t + 1], and nothing shifts them again",
            next_token=right,
            shifted=others,
        )
    count = sum(target != IGNORE for row in rows for target in row.targets)
    return healthy(f"all {count} targets are the next token", targets=count)


def prompt_loss(patient: Patient) -> Finding:
    """Are labels on answers alone, not on prompt, images or padding?"""
    taught = asked = padding = images = 0
    for sample in patient.samples:
        row, prompt = patient.rows([sample])[0], len(patient.rows([sample], training=False)[0].tokens)
        taught += sum(target != IGNORE for target in row.targets)
        asked += sum(target != IGNORE for target in row.targets[: prompt - 1])
        images += sum(target != IGNORE and target < 0 for target in row.targets)
    for batch in patient.batches(patient.samples):
        padding += int(((batch.targets != IGNORE) & (batch.segments == PADDING)).sum())
    evidence = {"targets": taught, "in_prompt": asked, "in_padding": padding, "images": images}
    if padding or images:
        what = "padding" if padding else "images"
        return alarm(f"{padding or images} targets are on {what}", f"set the targets of {what} to -100", **evidence)
    trained = patient.processor.config if patient.pipe.config is None else patient.pipe.config.processor
    if asked and trained.prompt.loss == "all":
        return note(f"{asked} of {taught} targets are in prompts, as loss=all asks for", "", **evidence)
    if asked:
        return alarm(
            f"{asked} of {taught} targets are in the prompt: the model learns to write questions",
            "set the targets of everything before the answer to -100",
            **evidence,
        )
    return healthy(f"all {taught} targets are in answers", **evidence)


def needs_images(examine: Callable[[Patient], Finding]) -> Callable[[Patient], Finding]:
    """The same examination, skipped for a model of text alone."""

    def guarded(patient: Patient) -> Finding:
        return examine(patient) if patient.sees else skipped("the model reads text alone")

    return guarded


def _agreement(rows: Sequence[Row], shift: int) -> float:
    """Share of targets that are the next token, or one `shift` tokens further on."""
    right = total = 0
    for row in rows:
        for place, target in enumerate(row.targets):
            if target != IGNORE:
                at = place + 1 + shift
                right += 0 <= at < len(row.tokens) and row.tokens[at] == target
                total += 1
    return right / total


def _is_gemma(patient: Patient) -> bool:
    decoder = patient.model.config.decoder
    return decoder.scale_embeddings and decoder.norm == "rms_plus_one"


def _is_paligemma(patient: Patient) -> bool:
    return _is_gemma(patient) and patient.model.config.decoder.mask == "prefix"


def _shown(patient: Patient) -> str:
    """A row, as a reader would see it."""
    tokenizer, tokens = patient.processor.tokenizer, patient.rows(patient.samples[:1])[0].tokens
    images = tokens.count(IMAGE)
    text = "".join(tokenizer.shown(token) for token in tokens if token != IMAGE)
    return f"{images} image tokens, then {text[:80]!r}" if images else repr(text[:80])
