"""Your own images and words: a folder or a list of rows, read into samples. Bad rows are named, counted and skipped.

`forms` recognizes and reads files and folders, `rows` says what may be in a row, `grouping` joins rows about one image.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from ojito.config import DataConfig
from ojito.data.files import DataError
from ojito.data.finder import Finder
from ojito.data.forms import Reading, open_form
from ojito.data.grouping import group, turns_read
from ojito.data.indexed.reader import Reader
from ojito.data.indexed.source import IndexedSource, open_indexed
from ojito.data.keys import BadRow
from ojito.data.rows import samples_of
from ojito.data.source import Source
from ojito.errors import OjitoError
from ojito.processor.images import ImageError
from ojito.records import Progress, Sample

log = logging.getLogger(__name__)
_SHOWN = 5  # problems that an error lists; it counts the others
_KEPT = 1000  # problems of large data that are written out


def read_source(
    path: Path | str,
    max_bad: float = 0.05,
    pack: bool = False,
    *,
    conversations: Literal["chat", "blind"] = "chat",
    system: bool = True,
    rows_mb: float = DataConfig.rows_mb,
    progress: Progress = lambda done, total: None,
) -> Source:
    """Read the rows of a file or folder, in any of the forms of docs/data.md. Rows about one image become one.

    Args:
        path: The file or folder.
        max_bad: Share of bad rows that is skipped.
        pack: Puts captions and independent questions about an image into one sample, so that it is encoded once: for
            prompts with turns=blind. In a chat they would read each other's answers, and are samples of their own.
        conversations: Whether the turns of a conversation read each other, or are questions like any other.
        system: Whether there is a place for system messages; else they are left out and counted.
        rows_mb: Data whose rows take more, MiB, are indexed, and their rows read when they are needed.
        progress: Called with the bytes that are indexed, and all bytes.

    Raises:
        DataError: Nothing to read there, or more bad rows than `max_bad`.
    """
    path = Path(path)
    reading = open_form(path)
    name = str(path) if path.is_dir() else path.name
    if reading.tables is not None and reading.size() > rows_mb * 2**20:
        reader = Reader(reading.tables(progress), pack, conversations == "blind", system)
        return _indexed(reader, reading, name, max_bad)
    rows: list[Sample] = []
    problems: list[str] = []
    total = unheard = 0
    for origin, found in _read_rows(reading):
        total += 1
        if isinstance(found, OjitoError):
            problems.append(problem_line(origin, found))
            continue
        for sample in found:
            if conversations == "blind" and sample.chat:
                sample = dataclasses.replace(sample, chat=False)
            if sample.system and not system:
                unheard += 1
                sample = dataclasses.replace(sample, system="", chat=sample.chat and len(sample.turns) > 1)
            rows.append(sample)
    check_budget(name, problems, total, max_bad)
    if problems and not rows:
        raise all_bad(name, problems)
    if problems:
        log.warning("%s: skipped %d of %d rows%s", name, len(problems), total, _lines(problems))
    if not rows:
        raise _empty(name)
    notes = [*reading.notes]
    if unheard:
        place = "processor.prompt.user_with_system has no place for them"
        notes.append(f"{unheard:,} system messages were left out: {place}")
    for note in notes:
        log.warning("%s: %s", name, note)
    rows = group(rows, pack)
    return Source(name, rows, problems, reading.form, total, turns_read(rows, pack), notes)


def _indexed(reader: Reader, reading: Reading, name: str, max_bad: float) -> IndexedSource:
    source = open_indexed(reader, name, reading.form)
    count = sum(len(table.index.bad) for table in reader.tables)
    source.problems += [str(reader(number)[0].problem) for number in itertools.islice(reader.bad(), _KEPT)]
    check_budget(name, source.problems, len(reader), max_bad, count)
    if count and not source.places:
        raise all_bad(name, source.problems)
    if not source.places:
        raise _empty(name)
    if count:
        log.warning("%s: skips %d of %d rows%s", name, count, len(reader), _lines(source.problems))
    source.notes += reading.notes
    for note in source.notes:
        log.warning("%s: %s", name, note)
    return source


def _read_rows(reading: Reading) -> Iterator[tuple[str, list[Sample] | OjitoError]]:
    """The samples of each row, or what is wrong with it."""
    finders: dict[Path, Finder] = {}
    wrong = 0
    for origin, values, folder in reading.rows():
        finder = finders.get(folder) or finders.setdefault(folder, Finder(folder))
        try:
            if isinstance(values, BadRow):
                raise values
            yield origin, samples_of(values, partial(finder.find, hint=wrong < _SHOWN), origin)
        except (BadRow, ImageError) as error:
            wrong += 1
            yield origin, error


def problem_line(origin: str, error: OjitoError) -> str:
    """One line about a bad row, which begins with its origin, if it has one."""
    return str(error) if error.where == origin or not origin else f"{origin}: {error}"


def check_budget(name: str, problems: list[str], total: int, max_bad: float, bad: int | None = None) -> None:
    """Let a share of bad rows pass.

    Args:
        name: Of the source, for messages.
        problems: What is wrong with the bad rows.
        total: All rows.
        max_bad: The share.
        bad: How many rows are bad, where not all problems are written out.

    Raises:
        DataError: There are more; lists the first of them.
    """
    bad = len(problems) if bad is None else bad
    if bad <= max_bad * total:
        return
    raise DataError(
        name,
        f"{bad} of {total} rows are bad, more than data.max_bad={max_bad:g} allows",
        "mend them or raise the limit",
        _first(problems),
    )


def all_bad(name: str, problems: list[str]) -> DataError:
    """The error for a budget that lets every row pass as bad: nothing is left to use."""
    return DataError(name, f"all {len(problems)} rows are bad", "mend them", _first(problems))


def _empty(name: str) -> DataError:
    return DataError(name, "holds no rows", 'write for example {"image": "a.jpg", "caption": "a red ball"}')


def _lines(problems: list[str]) -> str:
    return "".join(f"\n  {problem}" for problem in _first(problems))


def _first(problems: list[str]) -> list[str]:
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return [*problems[:_SHOWN], *more]
