"""A row of a file becomes samples.

    {"image": "a.jpg", "caption": "a red ball"}                        one caption
    {"image": ["a.jpg", "b.jpg"], "captions": ["...", "..."]}          several images, several captions
    {"image": "a.jpg", "question": "what is it?", "answer": "ball"}    or "answers": [...]
    {"image": "a.jpg", "qa": [{"question": ..., "answer": ...}, ...]}  several questions, beside captions or alone
    {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nwhat?"}, {"from": "gpt", ...}]}

"split" and "kind" may stand in any row; other keys are left alone. Paths are relative to the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError, nearest_name
from ojito.processor.images import check_path
from ojito.records import Sample, Turn

KEYS = ("image", "caption", "captions", "question", "answer", "answers", "conversations", "qa", "split", "kind")
_ASKING, _ANSWERING = ("human", "user"), ("gpt", "assistant")  # roles in conversations


class BadRow(OjitoError):
    """A row that cannot be used; `read_source` adds where it stands."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("", problem, remedy)

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


def samples_of(row: Mapping[str, Any], folder: Path, origin: str, pack: bool, hints: bool) -> list[Sample]:
    """Return the samples of a row.

    Args:
        row: Keys and values as the file has them.
        folder: The folder that paths are relative to.
        origin: Where the row stands, "captions.jsonl:12".
        pack: Whether captions and questions become one sample.
        hints: Whether to look for the nearest name of an image that is missing.

    Raises:
        BadRow: Something is missing, misspelt or of the wrong type.
        ImageError: An image is not there.
    """
    images = _images(row, folder, hints)
    split = _option(row, "split")
    dialogues = _dialogues(row)
    if pack:
        dialogues = [tuple(turn for turns in dialogues for turn in turns)]
    return [Sample(images, turns=turns, split=split, origin=origin) for turns in dialogues]


def join_captions(rows: Iterable[Sample]) -> list[Sample]:
    """Join captions of one image, which a CSV has on several lines, into one sample; packed questions come along."""
    joined: dict[Any, Sample] = {}
    for number, row in enumerate(rows):
        turn = row.turns[0]
        key = (*row.images, row.split, turn.kind) if not turn.prompt else number
        if key in joined:
            first, *questions = joined[key].turns
            turn = dataclasses.replace(turn, answers=first.answers + turn.answers)
            row = dataclasses.replace(joined[key], turns=(turn, *questions, *row.turns[1:]))
        joined[key] = row
    return list(joined.values())


def json_name(value: Any) -> str:
    """Name of a JSON value in messages: "a list", "null", "3"."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return f"{value!r}"[:40]


def _images(row: Mapping[str, Any], folder: Path, hints: bool) -> list[Path]:
    if "image" not in row:
        raise _lacks(row, "image", 'write "image": [] for a row of text alone')
    names = row["image"] if isinstance(row["image"], list) else [row["image"]]
    for name in names:
        if not isinstance(name, str) or not name:
            raise BadRow(f"image is {json_name(name)}, not a path", "write the image's file name")
    return [check_path(name if "://" in name else folder / name, hints) for name in names]


def _dialogues(row: Mapping[str, Any]) -> list[tuple[Turn, ...]]:
    """Captions, questions and conversation of a row, which may hold all of them side by side."""
    kind = _option(row, "kind")
    found: list[tuple[Turn, ...]] = []
    if "caption" in row or "captions" in row:
        found.append((Turn("", _answers(row, "caption", "captions"), kind or "caption"),))
    if "question" in row:
        found.append((_question(row, kind),))
    if "qa" in row:
        for number, entry in enumerate(_list(row, "qa"), 1):
            if not isinstance(entry, Mapping):
                raise BadRow(
                    f"qa {number} is {json_name(entry)}, not an object", 'write {"question": ..., "answer": ...}'
                )
            found.append((_question(entry, kind),))
    if "conversations" in row:
        found.append(_conversation(_list(row, "conversations"), kind))
    if not found:
        raise _lacks(row, "caption, question, qa or conversations", "write one of them")
    return found


def _question(row: Mapping[str, Any], kind: str) -> Turn:
    if "question" not in row:
        raise _lacks(row, "question", "write one")
    if "answer" not in row and "answers" not in row:
        raise _lacks(row, "answer", "write one, or a list of answers")
    return Turn(_text(row, "question"), _answers(row, "answer", "answers"), _option(row, "kind") or kind)


def _conversation(messages: list[Any], kind: str) -> tuple[Turn, ...]:
    texts: list[str] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or "from" not in message or "value" not in message:
            raise BadRow(f"message {number} of conversations lacks from or value", "write both")
        roles = _ANSWERING if len(texts) % 2 else _ASKING
        if message["from"] not in roles:
            raise BadRow(
                f"message {number} is from {message['from']!r}, not {roles[0]}", "let human and gpt take turns"
            )
        texts.append(_text(message, "value"))
    if not texts or len(texts) % 2:
        raise BadRow("conversations ends with a question", "end it with an answer from gpt")
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(Turn(question, (answer,), kind, tagged=True) for question, answer in pairs)


def _answers(row: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    if one in row and many in row:
        raise BadRow(f"has both {one} and {many}", "write one of them")
    if one in row:
        return (_text(row, one),)
    values = _list(row, many)
    return tuple(_text({f"{many}[{i}]": value}, f"{many}[{i}]") for i, value in enumerate(values))


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row[key]
    if not isinstance(value, list):
        raise BadRow(f"{key} is {json_name(value)}, not a list", "write [...]")
    if not value:
        raise BadRow(f"{key} is an empty list", "give at least one")
    return value


def _text(row: Mapping[str, Any], key: str) -> str:
    """Return text; a number is one, too: `"answer": 2` is plain enough."""
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        several = isinstance(value, list) and key in ("caption", "answer")
        raise BadRow(
            f"{key} is {json_name(value)}, not text", f"write {key}s for several" if several else 'write it in "quotes"'
        )
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair, and no tokenizer can read it
        half = text[error.start]
        raise BadRow(f"{key} holds half a character, {half!r}", "write the whole character or remove it") from None
    if not text:
        raise BadRow(f"{key} is empty", "write something")
    return text


def _option(row: Mapping[str, Any], key: str) -> str:
    """Return text that may be missing or empty."""
    return _text(row, key) if row.get(key) not in (None, "") else ""


def _lacks(row: Mapping[str, Any], key: str, remedy: str) -> BadRow:
    """The error for a missing key; names the key that probably meant it."""
    wanted = key.replace(" or ", ", ").split(", ")
    for name in row:
        near = nearest_name(str(name).lower(), wanted)
        if near and name not in KEYS:
            return BadRow(f"has no {key}", f"did you mean {near!r} by {name!r}?")
    return BadRow(f"has no {key}", remedy)
