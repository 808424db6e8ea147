"""JSON that may come from anywhere: bounded, without keys that stand twice, and with errors that say where."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, NoReturn

_SAVE_UTF8 = "save it as UTF-8"
_AGAIN = "copy it again"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # that of UTF-32, too, begins with the first
_COMMENT = re.compile(r"//|/\*|#")
_WEB_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


class JsonError(ValueError):
    """A text that is not JSON.

    Attributes:
        problem: What it is instead, and where.
        remedy: What to do about it.
    """

    def __init__(self, problem: str, remedy: str = _AGAIN) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def decode_json(content: bytes, most: int) -> Any:
    """Parse the bytes of a JSON file. A byte order mark in front of UTF-8 is passed over.

    Args:
        content: The bytes.
        most: How many values it may hold.

    Raises:
        JsonError: It is not JSON in UTF-8, or as for `parse_json`.
    """
    if content.startswith((*_UTF16, b"{\0", b"\0{")):
        raise JsonError("is text in UTF-16 or UTF-32", _SAVE_UTF8)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        wrong = f"{_place(before, len(before))}: byte {content[error.start]:#04x} is not UTF-8"
        raise JsonError(f"is not JSON ({wrong})", f"{_SAVE_UTF8}, or {_AGAIN}") from None
    return parse_json(text, most)


def parse_json(text: str, most: int) -> Any:
    """Parse a JSON text.

    Args:
        text: The text.
        most: How many values it may hold.

    Raises:
        JsonError: It is not JSON, is nested too deep, or holds more values; or an object holds a key twice.
    """
    if sum(map(text.count, ",[{")) > most:
        raise JsonError(f"has too many values, more than {most}")
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_duplicates(pairs, text))
    except json.JSONDecodeError as error:
        raise _explained(text, error) from None
    except RecursionError:
        raise JsonError("is nested too deep") from None
    except JsonError:
        raise
    except ValueError:  # a number of more digits than Python converts
        raise JsonError("holds a number with too many digits") from None


def _without_duplicates(pairs: list[tuple[str, Any]], text: str) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        _refuse_duplicate([key for key, _ in pairs], text)
    return values


def _refuse_duplicate(keys: list[str], text: str) -> NoReturn:
    seen: set[str] = set()
    key = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    found = [match.start() for match in re.finditer(rf"{re.escape(json.dumps(key))}\s*:", text)]
    # Another object may have a key of that name, too: then which two are meant is not known.
    where = f"at {_place(text, found[0])} and at {_place(text, found[1])}" if len(found) == 2 else "in one object"
    raise JsonError(f"has the key {key!r} twice, {where}", "delete one of them")


def _explained(text: str, error: json.JSONDecodeError) -> JsonError:
    """The error, with what usually stands there instead of JSON."""
    rest, before = text[error.pos :], text[: error.pos].rstrip()
    if not text.strip():
        return JsonError("is empty")
    if not text.strip("\0"):
        return JsonError("is not JSON: it holds nothing but zeros")
    if _WEB_PAGE.match(text):
        return JsonError("is a web page, not JSON", "download the file itself (on the Hub: resolve, not blob)")
    place = _place(text, error.pos)
    if _COMMENT.match(rest):
        return JsonError(f"is not JSON: a comment at {place}", "delete the comment")
    comma = len(before) - 1 if rest[:1] in ("}", "]") else error.pos
    if text[comma : comma + 1] == "," and text[comma + 1 :].lstrip()[:1] in ("}", "]"):
        return JsonError(f"is not JSON: a comma before a closing bracket at {_place(text, comma)}", "delete the comma")
    if rest[:1] == "'":
        return JsonError(f"is not JSON: a single quote at {place}", 'use double quotes (")')
    word = re.match(r"True|False|None", rest)
    if word:
        json_word = {"True": "true", "False": "false", "None": "null"}[word[0]]
        return JsonError(f"is not JSON: {word[0]} at {place}", f"write {json_word}")
    if not rest.strip() or error.msg.startswith("Unterminated string"):
        return JsonError(f"is not JSON: it ends within a value that begins at {place}" if rest.strip() else
                         f"is not JSON: it ends too early, at {place}")  # fmt: skip
    return JsonError(f"is not JSON: {error.msg} at {place}", f"mend it there, or {_AGAIN}")


def _place(text: str, at: int) -> str:
    """Line and column, from 1."""
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"
