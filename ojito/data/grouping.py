"""Rows about one image become one row, whichever lines they stand on.

Captions of an image are the references of one caption turn, and answers to one question are answers of one turn. For
prompts with blind turns, all questions about an image are turns of one sample, so that it is encoded once. A
conversation stays as it is: its turns read each other.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ojito.processor.prompts import without_tags
from ojito.records import Sample, Turn

_SHORT = re.compile(r"[A-Za-z ]+")  # in words, a token is two letters or more; of anything else it may be a byte
_AROUND = 4  # tokens around an answer: separator, end


def group(rows: Iterable[Sample], blind: bool, max_tokens: int = 512, every_answer: bool = True) -> list[Sample]:
    """Join the rows about each image.

    Args:
        rows: Samples, as the rows of a file make them.
        blind: Whether questions about one image become turns of one sample.
        max_tokens: The most tokens of text in a row; samples are split where, by a careful guess, they would have more.
        every_answer: Whether all answers of a turn are written into the row, or one of them.
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
    grouped = []
    for key, row in joined.items():
        if key not in turns:
            grouped.append(row)
            continue
        for part in _parts([*turns[key].values()], max_tokens, every_answer):
            grouped.append(row if part == row.turns else dataclasses.replace(row, turns=part))
    return grouped


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


def _parts(turns: list[Turn], max_tokens: int, every_answer: bool) -> Iterator[tuple[Turn, ...]]:
    """The turns in parts that fit into a row each; references of one question are never parted."""
    part: list[Turn] = []
    left = float(max_tokens)
    for turn in turns:
        needed = _guess(turn, every_answer)
        if part and needed > left:
            yield tuple(part)
            part, left = [], float(max_tokens)
        part.append(turn)
        left -= needed
    yield tuple(part)


def _guess(turn: Turn, every_answer: bool) -> float:
    """Tokens that a turn takes, rather too many than too few."""
    answers = [_tokens(answer) for answer in turn.answers] or [0.0]
    asked = _tokens(turn.prompt or "caption") + _AROUND
    return asked * len(answers) + sum(answers) if every_answer else asked + max(answers)


def _tokens(text: str) -> float:
    letters = sum(map(len, _SHORT.findall(text)))
    return letters / 2 + len(text.encode()) - letters


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
