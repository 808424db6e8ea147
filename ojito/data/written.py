"""A sample back to what a file has: keys and values that make the same sample again, and its images as they are."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.data.choices import without_choices
from ojito.data.grouping import group
from ojito.data.keys import BadRow
from ojito.data.rows import samples_of
from ojito.processor import RowError
from ojito.processor.image_files import open_file
from ojito.processor.images import ImageError
from ojito.processor.prompts import IMAGE_TAG
from ojito.records import Sample, StoredImage, Turn

if TYPE_CHECKING:
    from ojito.records import ImageLike

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}


def members_of(sample: Sample, split: str = "") -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a sample as the members of an archive: its keys and values, and the members by their suffixes.

    A caption alone is a `.txt`, everything else a `.json`. Images come last, and their bytes are not changed.

    Args:
        sample: The sample.
        split: What is to stand in the row as its split.

    Raises:
        ImageError: An image cannot be read, or is of no known form.
        RowError: The sample cannot be written, or it is a row that could not be read.
    """
    if sample.problem is not None:
        raise sample.problem
    values = values_of(sample)
    if split:
        values["split"] = split
    _check_same(values, sample)
    captions = values.get("captions", [])
    plain = {*values} == {"captions"} and "\n".join(captions).splitlines() == captions
    text = {".txt": "\n".join(captions)} if plain else {".json": json.dumps(values, ensure_ascii=False)}
    members = {suffix: content.encode() for suffix, content in text.items()}
    for number, image in enumerate(sample.images):
        content = encoded_image(image)
        suffix = _suffix(image, content)
        members[f".{number}{suffix}" if len(sample.images) > 1 else suffix] = content
    return values, members


def values_of(sample: Sample) -> dict[str, Any]:
    """The keys and values of a sample, without its images."""
    turns = sample.dialogue
    if len(turns) == 1 and turns[0].choices:  # which no conversation can hold
        return {**_question(turns[0]), **({"system": sample.system} if sample.system else {})}
    if sample.chat or sample.system or (len(turns) == 1 and turns[0].tagged and IMAGE_TAG not in turns[0].prompt):
        return _conversation(sample)
    captions = [turn for turn in turns if not turn.prompt]
    questions = [_question(turn) for turn in turns if turn.prompt]
    values: dict[str, Any] = {"captions": [*captions[0].answers]} if captions else {}
    if captions and captions[0].kind != "caption":
        values["kind"] = captions[0].kind
    if len(questions) == 1 and not captions:
        return questions[0]
    return {**values, "qa": questions} if questions else values


def encoded_image(image: ImageLike) -> bytes:
    """The encoded image, as its file has it.

    Raises:
        ImageError: It cannot be read, or is no file.
    """
    try:
        if isinstance(image, StoredImage):
            return image.read()
        if isinstance(image, (str, Path)):
            return Path(image).read_bytes()
    except OSError as error:
        raise ImageError(str(image), f"cannot be read ({error.strerror or error})", "check the file") from None
    if isinstance(image, bytes):
        return image
    raise ImageError("image", "is in memory, and no file", "save it, and give its path")


def _suffix(image: ImageLike, content: bytes) -> str:
    name = f"{len(content):,} bytes" if isinstance(image, bytes) else str(image)
    return _SUFFIXES[str(open_file(io.BytesIO(content), name).format)]


def _question(turn: Turn) -> dict[str, Any]:
    values: dict[str, Any] = {"question": without_choices(turn.prompt, turn.choices), "answers": [*turn.answers]}
    if turn.choices:
        values["choices"] = [*turn.choices]
    return {**values, "kind": turn.kind} if turn.kind else values


def _conversation(sample: Sample) -> dict[str, Any]:
    turns = sample.dialogue
    kinds = {turn.kind for turn in turns if turn.prompt}
    answers = [turn.answers[0] if turn.answers else "" for turn in turns]
    if len(kinds) > 1 and not sample.system:
        pairs = zip(turns, answers, strict=True)
        return {"texts": [{"user": t.prompt or IMAGE_TAG, "assistant": a, "source": t.kind} for t, a in pairs]}
    messages = []
    for turn, answer in zip(turns, answers, strict=True):
        messages.append({"from": "human", "value": turn.prompt or IMAGE_TAG})
        messages.append({"from": "gpt", "value": answer})
    values: dict[str, Any] = {"conversations": messages}
    if sample.system:
        values["system"] = sample.system
    kind = next(iter(kinds), "")
    return {**values, "kind": kind} if kind else values


def _check_same(values: dict[str, Any], sample: Sample) -> None:
    """Check that what is written makes the same sample again.

    Raises:
        RowError: It does not.
    """
    try:
        again = group(samples_of({**values, "image": [b""] * len(sample.images)}, Path, sample.origin), blind=True)
    except BadRow as error:
        raise RowError(sample.origin, f"cannot be written: {error.problem}", error.remedy) from None
    if len(again) != 1 or _plain(again[0].turns) != _plain(sample.turns) or again[0].system != sample.system:
        raise RowError(sample.origin, "holds turns that one row cannot hold together", "write each in a row of its own")


def _plain(turns: Sequence[Turn]) -> list[Turn]:
    """The turns, without what makes no difference: whether a text could have named an image that it does not name."""
    return [dataclasses.replace(turn, tagged=turn.tagged and IMAGE_TAG in turn.prompt) for turn in turns]
