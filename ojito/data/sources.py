"""Your own pictures and words: a folder or a list of rows, read into samples. Bad rows are named, counted and skipped.

    {"image": "a.jpg", "caption": "a red ball"}                        one caption
    {"image": ["a.jpg", "b.jpg"], "captions": ["...", "..."]}          several pictures, several captions
    {"image": "a.jpg", "question": "what is it?", "answer": "ball"}    or "answers": [...]
    {"image": "a.jpg", "qa": [{"question": ..., "answer": ...}, ...]}  several questions, beside captions or alone
    {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nwhat?"}, {"from": "gpt", ...}]}

"split" and "kind" may stand in any row; other keys are left alone. Paths are relative to the file.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.processor.images import ImageError, check_path
from ojito.records import Sample, Turn

KEYS = ("image", "caption", "captions", "question", "answer", "answers", "conversations", "qa", "split", "kind")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_ASKS, _REPLIES = ("human", "user"), ("gpt", "assistant")
log = logging.getLogger(__name__)
_SHOWN = 5  # problems that an error lists; it counts the others


class DataError(OjitoError):
    """Data that cannot be used; `where` is the file and line."""


class _BadRow(OjitoError):
    """What is wrong with one row; `read_source` adds where it stands."""


@dataclass
class Source:
    """Rows to learn from or to be scored on.

    Attributes:
        name: Where they come from, for messages.
        rows: The good ones.
        problems: The bad ones, "captions.jsonl:12: what is wrong; what to do".
    """

    name: str
    rows: list[Sample]
    problems: list[str] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split; a row that names none belongs to "train"."""
        return dict(Counter(row.split or "train" for row in self.rows))

    def samples(self, split: str, limit: int | None = None) -> list[Sample]:
        """The rows of a split.

        Args:
            split: Its name.
            limit: How many at most, the first of them; None for all.

        Raises:
            DataError: There are none.
        """
        found = [row for row in self.rows if (row.split or "train") == split]
        if not found:
            there = ", ".join(f"{name} ({count})" for name, count in self.splits.items())
            raise DataError(f"{self.name} has no split {split!r}; it has {there}")
        return found[:limit]


def read_source(path: Path | str, max_bad: float = 0.05, pack: bool = False) -> Source:
    """The rows of a folder, a `.jsonl` or a `.csv` file.

    Args:
        path: The file, or a folder with `captions.csv`, a `.jsonl` file, or pictures and a `.txt` of the same name
            beside each, one caption a line.
        max_bad: Share of bad rows that is skipped.
        pack: Puts captions and independent questions about a picture into one sample, so that it is encoded once: for
            prompts with turns=blind. In a chat they would read each other's answers, and are samples of their own.

    Raises:
        DataError: Nothing to read there, or more bad rows than `max_bad`.
    """
    path = Path(path)
    file = _find(path)
    if file.is_dir():
        raw, name = _texts(file), f"{path}"
    else:
        raw, name = (_csv(file) if file.suffix.lower() == ".csv" else _jsonl(file)), file.name
    folder = file if file.is_dir() else file.parent

    rows: list[Sample] = []
    problems: list[str] = []
    total = 0
    for origin, row in raw:
        total += 1
        try:
            if isinstance(row, _BadRow):
                raise row
            rows.extend(_samples(row, folder, origin, pack, hints=len(problems) < _SHOWN))
        except (_BadRow, ImageError) as problem:
            problems.append(f"{origin}: {problem}")
    if file.suffix.lower() == ".csv":
        rows = _join_captions(rows)
    check_budget(name, problems, total, max_bad)
    if problems and not rows:
        raise all_bad(name, problems)
    if problems:
        log.warning("%s: skipped %d of %d rows\n%s", name, len(problems), total, _first(problems))
    if not rows:
        raise DataError(f'{name} holds no rows; write for example {{"image": "a.jpg", "caption": "a red ball"}}')
    return Source(name, rows, problems)


def check_budget(name: str, problems: list[str], total: int, max_bad: float) -> None:
    """Lets a share of bad rows pass.

    Raises:
        DataError: There are more; lists the first of them.
    """
    if len(problems) <= max_bad * total:
        return
    raise DataError(
        name,
        f"{len(problems)} of {total} rows are bad, more than data.max_bad={max_bad:g} allows",
        "mend them or raise the limit",
        _first(problems),
    )


def all_bad(name: str, problems: list[str]) -> DataError:
    """The error for a budget that lets every row pass as bad: nothing is left to use."""
    return DataError(name, f"all {len(problems)} rows are bad", "mend them", _first(problems))


def _first(problems: list[str]) -> list[str]:
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return [*problems[:_SHOWN], *more]


# ------------------------------------------------------------------------------------------- files to mappings of text


def _find(path: Path) -> Path:
    """The file to read, or the folder itself for pictures with `.txt`."""
    if path.is_file():
        if path.suffix.lower() not in (".jsonl", ".csv"):
            raise DataError(f"{path} is neither .jsonl nor .csv; give such a file, or a folder")
        return path
    if not path.is_dir():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], 1)
        built_in = "or use scenes or photos16, which are built in"
        raise DataError(
            f"{path} does not exist; " + (f"did you mean {near[0]}?" if near else f"check the path, {built_in}")
        )
    if (path / "captions.csv").is_file():
        return path / "captions.csv"
    lists = sorted(path.glob("*.jsonl"))
    if len(lists) > 1:
        raise DataError(f"{path} holds {len(lists)} lists, {', '.join(p.name for p in lists)}; give the path of one")
    if lists:
        return lists[0]
    if not any(p.suffix.lower() in PICTURES for p in path.iterdir()):
        raise DataError(f"{path} holds no captions.csv, no .jsonl file and no pictures; give a folder that does")
    return path


_Raw = Iterator[tuple[str, "Mapping[str, Any] | _BadRow"]]


def _jsonl(file: Path) -> _Raw:
    for number, line in enumerate(file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        origin = f"{file.name}:{number}"
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield origin, _BadRow("is not UTF-8 text; save the file as UTF-8")
        except json.JSONDecodeError as error:
            yield origin, _BadRow(f"is not JSON ({error.msg}, column {error.colno}); mend the line")
        except ValueError:  # Python refuses to read a whole number of thousands of digits
            yield origin, _BadRow("holds a number of more digits than can be read; mend the line")
        except RecursionError:
            yield origin, _BadRow("is nested too deeply; mend the line")
        else:
            good = isinstance(row, dict)
            yield origin, row if good else _BadRow(f"is {_word(row)}, not an object; write {{...}}")


def _csv(file: Path) -> _Raw:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            columns = [name.strip().lower() for name in next(reader, [])]
            if not {"image", "caption"} <= set(columns) and not {"image", "question", "answer"} <= set(columns):
                raise DataError(
                    f"{file.name} has the columns {', '.join(columns) or '(none)'}; it needs image,caption or "
                    "image,question,answer in its first line, separated by commas"
                )
            for cells in reader:
                if not cells:
                    continue
                row: Mapping[str, Any] | _BadRow = dict(zip(columns, cells, strict=False))
                if len(cells) != len(columns):
                    found = f"has {len(cells)} cells, not {len(columns)}"
                    row = _BadRow(f'{found}; put a text that has commas into "quotes"')
                yield f"{file.name}:{reader.line_num}", row
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is not UTF-8 text; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{file.name}:{reader.line_num} is not CSV ({error}); mend the line") from None


def _texts(folder: Path) -> _Raw:
    files = sorted(folder.iterdir())
    pictures = {p.stem: p for p in files if p.suffix.lower() in PICTURES}
    texts = {p.stem: p for p in files if p.suffix.lower() == ".txt"}
    for stem in sorted(pictures.keys() | texts.keys()):
        if stem not in texts:
            yield pictures[stem].name, _BadRow(f"has no caption; write {stem}.txt, one caption a line")
        elif stem not in pictures:
            yield texts[stem].name, _BadRow(f"belongs to no picture; add {stem}.jpg")
        else:
            try:
                lines = texts[stem].read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError:
                yield texts[stem].name, _BadRow("is not UTF-8 text; save it as UTF-8")
                continue
            yield texts[stem].name, {"image": pictures[stem].name, "captions": [x for x in lines if x.strip()]}


# --------------------------------------------------------------------------------------------------- a row to samples


def _samples(row: Mapping[str, Any], folder: Path, origin: str, pack: bool, hints: bool) -> list[Sample]:
    """The samples of a row.

    Raises:
        _BadRow: Something is missing, misspelt or of the wrong type.
        ImageError: A picture is not there.
    """
    images = _images(row, folder, hints)
    split = _option(row, "split")
    dialogues = _dialogues(row)
    if pack:
        dialogues = [tuple(turn for turns in dialogues for turn in turns)]
    return [Sample(images, turns=turns, split=split, origin=origin) for turns in dialogues]


def _images(row: Mapping[str, Any], folder: Path, hints: bool) -> list[Path]:
    if "image" not in row:
        raise _BadRow(_lacks(row, "image", 'write "image": [] for a row of text alone'))
    names = row["image"] if isinstance(row["image"], list) else [row["image"]]
    for name in names:
        if not isinstance(name, str) or not name:
            raise _BadRow(f"image is {_word(name)}, not a path; write the picture's file name")
    return [check_path(name if "://" in name else folder / name, hints) for name in names]


def _dialogues(row: Mapping[str, Any]) -> list[tuple[Turn, ...]]:
    """The captions, each question and the conversation: what one row may hold side by side."""
    kind = _option(row, "kind")
    found: list[tuple[Turn, ...]] = []
    if "caption" in row or "captions" in row:
        found.append((Turn("", _answers(row, "caption", "captions"), kind or "caption"),))
    if "question" in row:
        found.append((_question(row, kind),))
    if "qa" in row:
        for number, one in enumerate(_list(row, "qa"), 1):
            if not isinstance(one, Mapping):
                raise _BadRow(f'qa {number} is {_word(one)}, not an object; write {{"question": ..., "answer": ...}}')
            found.append((_question(one, kind),))
    if "conversations" in row:
        found.append(_conversation(_list(row, "conversations"), kind))
    if not found:
        raise _BadRow(_lacks(row, "caption, question, qa or conversations", "write one of them"))
    return found


def _question(row: Mapping[str, Any], kind: str) -> Turn:
    if "question" not in row:
        raise _BadRow(_lacks(row, "question", "write one"))
    if "answer" not in row and "answers" not in row:
        raise _BadRow(_lacks(row, "answer", "write one, or a list of answers"))
    return Turn(_text(row, "question"), _answers(row, "answer", "answers"), _option(row, "kind") or kind)


def _conversation(messages: list[Any], kind: str) -> tuple[Turn, ...]:
    said: list[str] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or "from" not in message or "value" not in message:
            raise _BadRow(f"message {number} of conversations lacks from or value; write both")
        roles = _REPLIES if len(said) % 2 else _ASKS
        if message["from"] not in roles:
            raise _BadRow(f"message {number} is from {message['from']!r}, not {roles[0]}; let human and gpt take turns")
        said.append(_text(message, "value"))
    if not said or len(said) % 2:
        raise _BadRow("conversations ends with a question; end it with an answer from gpt")
    return tuple(Turn(ask, (answer,), kind) for ask, answer in zip(said[::2], said[1::2], strict=True))


def _answers(row: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    if one in row and many in row:
        raise _BadRow(f"has both {one} and {many}; write one of them")
    if one in row:
        return (_text(row, one),)
    values = _list(row, many)
    return tuple(_text({f"{many}[{i}]": value}, f"{many}[{i}]") for i, value in enumerate(values))


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row[key]
    if not isinstance(value, list):
        raise _BadRow(f"{key} is {_word(value)}, not a list; write [...]")
    if not value:
        raise _BadRow(f"{key} is an empty list; give at least one")
    return value


def _text(row: Mapping[str, Any], key: str) -> str:
    """Text, or a number as text: `"answer": 2` is plain enough."""
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        several = isinstance(value, list) and key in ("caption", "answer")
        remedy = f"write {key}s for several" if several else 'write text in "quotes"'
        raise _BadRow(f"{key} is {_word(value)}, not text; {remedy}")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair, and no tokenizer can read it
        half = text[error.start]
        raise _BadRow(f"{key} holds half a character, {half!r}; write the whole character or remove it") from None
    if not text:
        raise _BadRow(f"{key} is empty; write something")
    return text


def _option(row: Mapping[str, Any], key: str) -> str:
    """Text that may be missing or empty."""
    return _text(row, key) if row.get(key) not in (None, "") else ""


def _lacks(row: Mapping[str, Any], key: str, remedy: str) -> str:
    """Names what is missing, and the key that probably meant it."""
    wanted = key.replace(" or ", ", ").split(", ")
    for name in row:
        near = difflib.get_close_matches(str(name).lower(), wanted, 1)
        if near and name not in KEYS:
            return f"has no {key}; did you mean {near[0]!r} by {name!r}?"
    return f"has no {key}; {remedy}"


def _word(value: Any) -> str:
    """A JSON value as a reader would name it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return f"{value!r}"[:40]


def _join_captions(rows: Iterable[Sample]) -> list[Sample]:
    """Several lines of a CSV about one picture are several captions of it; packed questions come along."""
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
