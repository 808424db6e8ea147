"""Your own images and words: a folder or a list of rows, read into samples. Bad rows are named, counted and skipped.

`files` reads the lines, `rows` says what may be in one.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ojito.data.files import DataError, find_file, raw_rows
from ojito.data.rows import BadRow, join_captions, samples_of
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
        rows: The good rows.
        problems: The bad rows, "captions.jsonl:12: what is wrong; what to do".
    """

    name: str
    rows: list[Sample]
    problems: list[str] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split; a row that names none belongs to "train"."""
        return dict(Counter(row.split or "train" for row in self.rows))

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> list[Sample]:
        """Return the rows of a split, in their order.

        Args:
            split: Its name.
            limit: How many at most; None for all. Where there are more, they are drawn.
            seed: Decides which are drawn: the first rows of a file are seldom like the others.

        Raises:
            DataError: There are none.
        """
        found = [row for row in self.rows if (row.split or "train") == split]
        if not found:
            known = ", ".join(f"{name} ({count})" for name, count in self.splits.items())
            raise DataError(self.name, f"has no split {split!r}", f"it has {known}")
        if limit is None or limit >= len(found):
            return found
        drawn = random.Random(f"{seed} rows of {split}").sample(range(len(found)), max(0, limit))
        return [found[number] for number in sorted(drawn)]


def read_source(path: Path | str, max_bad: float = 0.05, pack: bool = False) -> Source:
    """Read the rows of a folder, a `.jsonl` or a `.csv` file.

    Args:
        path: The file, or a folder with `captions.csv`, a `.jsonl` file, or images and a `.txt` of the same name
            beside each, one caption a line.
        max_bad: Share of bad rows that is skipped.
        pack: Puts captions and independent questions about an image into one sample, so that it is encoded once: for
            prompts with turns=blind. In a chat they would read each other's answers, and are samples of their own.

    Raises:
        DataError: Nothing to read there, or more bad rows than `max_bad`.
    """
    file = find_file(Path(path))
    folder, name = (file, str(path)) if file.is_dir() else (file.parent, file.name)
    rows: list[Sample] = []
    problems: list[str] = []
    total = 0
    for origin, row in raw_rows(file):
        total += 1
        try:
            if isinstance(row, BadRow):
                raise row
            rows.extend(samples_of(row, folder, origin, pack, hints=len(problems) < _SHOWN))
        except (BadRow, ImageError) as error:
            problems.append(problem_line(origin, error))
    if file.suffix.lower() == ".csv":
        rows = join_captions(rows)
    check_budget(name, problems, total, max_bad)
    if problems and not rows:
        raise all_bad(name, problems)
    if problems:
        first = "".join(f"\n  {problem}" for problem in _first(problems))
        log.warning("%s: skipped %d of %d rows%s", name, len(problems), total, first)
    if not rows:
        raise DataError(name, "holds no rows", 'write for example {"image": "a.jpg", "caption": "a red ball"}')
    return Source(name, rows, problems)


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
