"""Your own images and words: a folder or a list of rows, read into samples. Bad rows are named, counted and skipped.

`forms` recognizes and reads files and folders, `rows` says what may be in a row, `grouping` joins rows about one image.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from ojito.data.files import DataError
from ojito.data.finder import Finder
from ojito.data.forms import Reading, open_form
from ojito.data.grouping import group, turns_read
from ojito.data.keys import BadRow
from ojito.data.rows import samples_of
from ojito.data.splits import split_name
from ojito.errors import OjitoError
from ojito.processor.images import ImageError
from ojito.records import Sample

log = logging.getLogger(__name__)
_SHOWN = 5  # problems that an error lists; it counts the others


@dataclass
class Source:
    """Rows to learn from or to be scored on.

    Attributes:
        name: Where they come from, for messages.
        rows: The good rows; those about one image are one.
        problems: The bad rows, "captions.jsonl:12: what is wrong; what to do".
        form: The form of the data, "JSON Lines".
        total: Rows as the data have them, the bad ones among them.
        turns: How questions, captions and conversations are read, in one line.
        notes: What was passed over, and why.
    """

    name: str
    rows: list[Sample]
    problems: list[str] = field(default_factory=list)
    form: str = ""
    total: int = 0
    turns: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split; a row that names none belongs to "train"."""
        return dict(Counter(row.split or "train" for row in self.rows))

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> list[Sample]:
        """Return the rows of a split, in their order.

        Args:
            split: Its name; val, valid and validation are "dev".
            limit: How many at most; None for all. Where there are more, they are drawn.
            seed: Decides which are drawn: the first rows of a file are seldom like the others.

        Raises:
            DataError: There are none.
        """
        found = [row for row in self.rows if (row.split or "train") in (split, split_name(split))]
        if not found:
            known = ", ".join(f"{name} ({count})" for name, count in self.splits.items())
            raise DataError(self.name, f"has no split {split!r}", f"it has {known}")
        if limit is None or limit >= len(found):
            return found
        drawn = random.Random(f"{seed} rows of {split}").sample(range(len(found)), max(0, limit))
        return [found[number] for number in sorted(drawn)]


def read_source(
    path: Path | str,
    max_bad: float = 0.05,
    pack: bool = False,
    *,
    conversations: Literal["chat", "blind"] = "chat",
    system: bool = True,
) -> Source:
    """Read the rows of a file or folder, in any of the forms of docs/data.md. Rows about one image become one.

    Args:
        path: The file or folder.
        max_bad: Share of bad rows that is skipped.
        pack: Puts captions and independent questions about an image into one sample, so that it is encoded once: for
            prompts with turns=blind. In a chat they would read each other's answers, and are samples of their own.
        conversations: Whether the turns of a conversation read each other, or are questions like any other.
        system: Whether there is a place for system messages; else they are left out and counted.

    Raises:
        DataError: Nothing to read there, or more bad rows than `max_bad`.
    """
    path = Path(path)
    reading = open_form(path)
    name = str(path) if path.is_dir() else path.name
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
        first = "".join(f"\n  {problem}" for problem in _first(problems))
        log.warning("%s: skipped %d of %d rows%s", name, len(problems), total, first)
    if not rows:
        raise DataError(name, "holds no rows", 'write for example {"image": "a.jpg", "caption": "a red ball"}')
    notes = [*reading.notes]
    if unheard:
        place = "processor.prompt.user_with_system has no place for them"
        notes.append(f"{unheard:,} system messages were left out: {place}")
    for note in notes:
        log.warning("%s: %s", name, note)
    rows = group(rows, pack)
    return Source(name, rows, problems, reading.form, total, turns_read(rows, pack), notes)


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


def check_budget(name: str, problems: list[str], total: int, max_bad: float) -> None:
    """Let a share of bad rows pass.

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
