"""Keys of a row, under whichever names data have them, and their texts. Capitals make no difference.

A key whose value is null, NaN or an empty cell is as if it were not there: tables have a cell for every column, and
pandas writes null there.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ojito.errors import OjitoError, nearest_name

IMAGE = (
    "image", "images", "image_path", "img_path", "file_name", "filename", "image_file", "image_name", "img", "file",
)  # fmt: skip
"""Names of the key for a row's images; the first of them counts."""

CAPTION = ("caption", "captions", "text", "description")
QUESTIONS = ("question", "query", "instruction", "prefix", "prompt")
ANSWERS = {
    "question": ("answer", "answers", "label"),
    "query": ("response", "responses", "answer", "answers", "label"),
    "instruction": ("output", "response"),
    "prefix": ("suffix",),
    "prompt": ("completion", "response"),
}
"""The keys of a question, each with those of its answers."""

CHATS = ("conversations", "conversation", "messages", "texts")
LABEL = ("label", "class", "category")
OTHERS = ("qa", "split", "kind", "system", "choices")

KEYS = (*IMAGE, *CAPTION, *QUESTIONS, *{k for keys in ANSWERS.values() for k in keys}, *CHATS, *LABEL, *OTHERS)
"""Every key that means something."""

_KNOWN = frozenset(KEYS)
_NUMBERED = re.compile(r"(caption|answer)s?[_ ]?\d+")  # caption1, caption_2: columns of a table


class BadRow(OjitoError):
    """A row that cannot be used; `read_source` adds where it stands."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("", problem, remedy)

    def __reduce__(self) -> tuple[type[BadRow], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


@dataclass(frozen=True)
class Keys:
    """A row's keys in one spelling, with their values.

    Attributes:
        values: Those that mean something and have a value.
        empty: Those that mean something and have none.
        others: Those that mean nothing, as they are written.
    """

    values: dict[str, Any] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Keys:
        """Sort the keys of a row.

        Raises:
            BadRow: One is there twice.
        """
        values: dict[str, Any] = {}
        empty, others = [], []
        for name, value in row.items():
            key = spelled(name)
            if key not in _KNOWN:
                others.append(str(name))
            elif is_absent(value):
                empty.append(key)
            elif key in values:
                raise BadRow(f"has the key {key} twice, once as {name!r}", "leave one of them out")
            else:
                values[key] = value
        return cls(values, tuple(empty), tuple(others))

    def first(self, names: Iterable[str]) -> str:
        """The first of these keys that is there; "" if none is."""
        for name in names:
            if name in self.values:
                return name
        return ""

    def option(self, key: str) -> str:
        """The text of a key that may be missing.

        Raises:
            BadRow: It is no text.
        """
        return text_of(self.values, key) if key in self.values else ""

    def lacks(self, wanted: str, remedy: str) -> BadRow:
        """The error for a missing key; names the key that probably meant it.

        Args:
            wanted: What is missing: "image", or "caption, question or qa".
            remedy: What to do if no other key is near.
        """
        names = wanted.replace(" or ", ", ").split(", ")
        for name in self.empty:
            if name in names:
                return BadRow(f"{name} is empty", "write something")
        near = self.misspelt(names)
        return BadRow(f"has no {wanted}", f"did you mean {near[0]!r} by {near[1]!r}?" if near else remedy)

    def misspelt(self, names: Iterable[str]) -> tuple[str, str] | None:
        """The first key that is near to one of these, and how it is written."""
        for name in self.others:
            near = nearest_name(name.lower(), names)
            if near:
                return near, name
        return None


@functools.lru_cache(maxsize=1024)  # every row has the same few
def spelled(name: Any) -> str:
    """A key as Ojito spells it."""
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def numbered(name: str) -> str:
    """The key that a numbered column belongs to: "caption" for "caption_2"; any other name stays."""
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else name


def is_absent(value: Any) -> bool:
    """Whether a value says that there is none."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def json_name(value: Any) -> str:
    """Name of a JSON value in messages: "a list", "null", "3"."""
    if value is None or isinstance(value, (bool, float)):
        return json.dumps(value)
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return f"{value!r}"[:40]


def list_of(row: Mapping[str, Any], key: str) -> list[Any]:
    """A value that is a list of something.

    Raises:
        BadRow: It is none, or empty.
    """
    value = row[key]
    if not isinstance(value, list):
        raise BadRow(f"{key} is {json_name(value)}, not a list", "write [...]")
    if not value:
        raise BadRow(f"{key} is an empty list", "give at least one")
    return value


def text_of(row: Mapping[str, Any], key: str) -> str:
    """Return text; a number is one, too: `"answer": 2` is plain enough.

    Raises:
        BadRow: It is none, or empty, or holds half a character.
    """
    value = row[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not isinstance(value, str) and not number:
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


def texts_of(row: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    """The texts of a key that has one, or of the key that has several; both take either.

    Raises:
        BadRow: Both keys are there, or one of the texts cannot be used.
    """
    if one in row and many in row:
        raise BadRow(f"has both {one} and {many}", "write one of them")
    if one in row:
        return (text_of(row, one),)
    return all_texts(many, list_of(row, many))


def all_texts(key: str, values: Iterable[Any]) -> tuple[str, ...]:
    """Texts of a list; an annotator's answer may be an object, {"answer": "red", "answer_id": 1}.

    Raises:
        BadRow: One of them cannot be used.
    """
    plain = [value["answer"] if isinstance(value, Mapping) and "answer" in value else value for value in values]
    return tuple(text_of({f"{key}[{i}]": value}, f"{key}[{i}]") for i, value in enumerate(plain))
