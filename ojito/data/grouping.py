"""Rows about one image become one row, whichever lines they stand on.

Captions of an image are the references of one caption turn, and answers to one question are answers of one turn. For
prompts with blind turns, all questions about an image are turns of one sample, so that it is encoded once. A
conversation stays as it is: its turns read each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from ojito.processor.prompts import without_tags
from ojito.records import Sample, Turn


def group(rows: Iterable[Sample], blind: bool) -> list[Sample]:
    """Join the rows about each image.

    Args:
        rows: Samples, as the rows of a file make them.
        blind: Whether questions about one image become turns of one sample.
    """
    joined: dict[Any, Sample] = {}
    turns: dict[Any, dict[Any, Turn]] = {}
    for number, row in enumerate(rows):
        if row.chat or not row.images:
            joined[number] = row
            continue
        images = (tuple(row.images), row.split)
        for turn in row.turns:
            asked = (without_tags(turn.prompt), turn.kind)
            key = images if blind else (images, asked)
            joined.setdefault(key, row)
            known = turns.setdefault(key, {})
            if asked in known:
                turn = dataclasses.replace(known[asked], answers=known[asked].answers + turn.answers)
            known[asked] = turn
    return [
        dataclasses.replace(row, turns=tuple(turns[key].values())) if key in turns else row
        for key, row in joined.items()
    ]


def regroup(samples: Sequence[Sample], blind: bool, conversations: bool) -> list[Sample]:
    """Join the samples of one row.

    Args:
        samples: What the row makes.
        blind: Whether questions about one image become turns of one sample.
        conversations: Whether a conversation is such questions, too.
    """
    if conversations:
        samples = [dataclasses.replace(sample, chat=False) for sample in samples]
    return group(samples, blind)


def turns_read(rows: Sequence[Sample], blind: bool) -> str:
    """One line that says how turns are read: "12 questions about 4 images, read blind to each other"."""
    images = {tuple(row.images) for row in rows if row.images and not row.chat}
    single = [turn for row in rows if row.images and not row.chat for turn in row.turns]
    captions = sum(len(turn.answers) for turn in single if not turn.prompt)
    questions = sum(bool(turn.prompt) for turn in single)
    alone = sum(not row.images and not row.chat for row in rows)
    chats = [row for row in rows if row.chat]
    named = [_count(captions, "caption")] * bool(captions) + [_count(questions, "question")] * bool(questions)
    parts = []
    if named:
        apart = "read blind to each other" if blind else "each asked apart"
        several = len(single) > len(images)
        about = "about" if questions else "of"
        parts.append(f"{' and '.join(named)} {about} {_count(len(images), 'image')}" + f", {apart}" * several)
    if chats:
        parts.append(f"{_count(len(chats), 'conversation')} read as {'chats' if len(chats) > 1 else 'a chat'}")
    if alone:
        parts.append(f"{_count(alone, 'row')} of text alone")
    return "; ".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
