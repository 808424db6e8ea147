"""What was understood of data: rows, splits, kinds, lengths, images, and what is wrong, as numbers and as a table."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ojito.data.aspect import aspect_ratio
from ojito.data.indexed.lazy_rows import drawn_rows
from ojito.data.source import Source
from ojito.processor.images import ImageError, image_size
from ojito.records import Sample, Turn

_LOOKED_AT = 20_000  # rows of large data
_SAMPLED = 200  # images whose sizes are read


@dataclass(frozen=True)
class Spread:
    """The least, the median and the largest of some numbers."""

    least: int
    median: int
    most: int

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Spread | None:
        """The spread of numbers; None of none."""
        known = sorted(numbers)
        return cls(known[0], int(statistics.median(known)), known[-1]) if known else None

    def __str__(self) -> str:
        return f"{self.least:,}" if self.least == self.most else f"{self.least:,} to {self.most:,} ({self.median:,})"


@dataclass(frozen=True)
class Kind:
    """Questions of one kind.

    Attributes:
        turns: How many there are.
        answers: Their answers, and how many of these are different.
        different: Different answers among them.
        question_words: Words of a question; None of captions, which have none.
        answer_words: Words of an answer.
        answer_characters: Characters of an answer.
    """

    turns: int
    answers: int
    different: int
    question_words: Spread | None
    answer_words: Spread | None
    answer_characters: Spread | None


@dataclass(frozen=True)
class Overview:
    """What was understood of data.

    Attributes:
        name: Where they come from.
        form: Their form.
        total: Rows as the data have them.
        reading: How questions, captions and conversations are read.
        splits: Samples, turns and images of each split.
        kinds: The kinds of questions.
        turns: Turns of a sample.
        images: Different images.
        sampled: How many of them were looked at.
        widths: Of those, pixels.
        heights: Of those, pixels.
        aspect: Of those, the longer side over the shorter one: the median.
        broken: Those that cannot be read, each with what is wrong.
        problems: Bad rows by what is wrong with them: how many, and the first.
        notes: What was passed over.
        looked_at: Rows that all but the samples of the splits was counted in; of large data, some that are spread over
            all of them.
    """

    name: str
    form: str
    total: int
    reading: str
    splits: dict[str, dict[str, int]]
    kinds: dict[str, Kind]
    turns: Spread | None
    images: int
    sampled: int
    widths: Spread | None
    heights: Spread | None
    aspect: float
    broken: list[str]
    problems: dict[str, tuple[int, str]]
    notes: list[str]
    looked_at: int

    @property
    def total_samples(self) -> int:
        """Samples of all splits."""
        return sum(split["samples"] for split in self.splits.values())

    @property
    def bad(self) -> int:
        """Bad rows."""
        return sum(count for count, _ in self.problems.values())

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {**asdict(self), "bad": self.bad}


def overview(source: Source, seed: int = 0) -> Overview:
    """Count what is in a source, and look at the sizes of some of its images.

    Args:
        source: The data.
        seed: Seed of the choice of images.
    """
    found = drawn_rows(source.rows, _LOOKED_AT)
    bad = [str(row.problem) for row in found if row.problem is not None]
    rows = [row for row in found if row.problem is None]
    images = list(dict.fromkeys(image for row in rows for image in row.images))
    looked = images if len(images) <= _SAMPLED else random.Random(seed).sample(images, _SAMPLED)
    sizes, broken = [], []
    for image in looked:
        try:
            sizes.append(image_size(image))
        except ImageError as error:
            broken.append(str(error))
    turns: dict[str, list[Turn]] = {}
    for row in rows:
        for turn in row.turns:
            turns.setdefault(turn.kind or ("question" if turn.prompt else "caption"), []).append(turn)
    return Overview(
        source.name,
        source.form,
        source.total or len(source.rows),
        source.turns,
        {
            split: _split(count, [row for row in rows if (row.split or "train") == split])
            for split, count in source.splits.items()
        },
        {kind: _kind(found) for kind, found in sorted(turns.items(), key=lambda of: -len(of[1]))},
        Spread.of(len(row.turns) for row in rows),
        len(images),
        len(looked),
        Spread.of(width for width, _ in sizes),
        Spread.of(height for _, height in sizes),
        aspect_ratio(sizes),
        broken,
        _by_problem([*source.problems, *bad]),
        source.notes,
        len(found),
    )


def table(found: Overview, kinds: int = 12, examples: Sequence[Sample] = ()) -> str:
    """The overview as text for a terminal.

    Args:
        found: The overview.
        kinds: How many kinds to list; the others are counted.
        examples: Samples to show below it.
    """
    lines = [f"{found.name}: {found.form}, {found.total:,} rows", f"  {found.reading}", ""]
    if found.looked_at < found.total_samples:
        lines[2:2] = [f"  all but the samples is counted in {found.looked_at:,} of them, spread over the data"]
    lines += _columns(
        ["split", "samples", "turns", "images"],
        [
            [name, *(f"{split[key]:,}" for key in ("samples", "turns", "images"))]
            for name, split in found.splits.items()
        ],
    )
    lines += [
        "",
        *_columns(["kind", "turns", "answers", "different", "question words", "answer words"], _kinds(found, kinds)),
    ]
    lines += ["", f"turns of a sample   {found.turns}"]
    if found.images:
        looked = "" if found.sampled == found.images else f", sizes of {found.sampled:,}"
        lines.append(
            f"images              {found.images:,}{looked}: width {found.widths}, height {found.heights} pixels"
        )
    if found.broken:
        lines += [f"broken images       {len(found.broken):,} of {found.sampled:,}", *_listed(found.broken)]
    if found.problems:
        among = found.total if found.looked_at >= found.total_samples else found.looked_at
        lines.append(f"bad rows            {found.bad:,} of {among:,}")
        lines += [f"  {count:>6,}  {first}" for count, first in found.problems.values()]
    lines += [f"note: {note}" for note in found.notes]
    for sample in examples:
        images = ", ".join(getattr(image, "name", "") or "image" for image in sample.images) or "no image"
        lines += ["", f"{sample.origin}  {images}  {sample.split or 'train'}"]
        lines += [
            f"  {_short(turn.prompt or 'caption')}  ->  {_short(' | '.join(turn.answers))}" for turn in sample.turns[:5]
        ]
    return "\n".join(lines)


def examples_of(source: Source, count: int, seed: int = 0) -> list[Sample]:
    """Samples to show: drawn by the seed, in their order, so that they are of all parts of the data."""
    chosen = random.Random(seed).sample(range(len(source.rows)), min(count, len(source.rows)))
    return [source.rows[number] for number in sorted(chosen)]


def _split(count: int, rows: Sequence[Sample]) -> dict[str, int]:
    images = {image for row in rows for image in row.images}
    return {"samples": count, "turns": sum(len(row.turns) for row in rows), "images": len(images)}


def _kind(turns: Sequence[Turn]) -> Kind:
    answers = [answer for turn in turns for answer in turn.answers]
    return Kind(
        len(turns),
        len(answers),
        len({*answers}),
        Spread.of(len(turn.prompt.split()) for turn in turns if turn.prompt),
        Spread.of(len(answer.split()) for answer in answers),
        Spread.of(len(answer) for answer in answers),
    )


def _by_problem(problems: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Bad rows by what is wrong: a problem without the names and numbers before it, and without its remedy."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for line in problems:
        problem = line.split(";")[0].rsplit(": ", 1)[-1]
        counts[problem] += 1
        first.setdefault(problem, line)
    return {problem: (count, first[problem]) for problem, count in counts.most_common()}


def _kinds(found: Overview, most: int) -> list[list[str]]:
    rows = [
        [
            name,
            f"{k.turns:,}",
            f"{k.answers:,}",
            f"{k.different:,}",
            str(k.question_words or ""),
            str(k.answer_words or ""),
        ]
        for name, k in [*found.kinds.items()][:most]
    ]
    more = len(found.kinds) - most
    return [*rows, [f"and {more} more"] + [""] * 5] if more > 0 else rows


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    made = []
    for row in (head, *rows):
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        made.append("  ".join([first, *others]).rstrip())
    return made


def _listed(lines: Sequence[str], most: int = 5) -> list[str]:
    more = [f"  and {len(lines) - most} more"] if len(lines) > most else []
    return [*(f"  {line}" for line in lines[:most]), *more]


def _short(text: str, most: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
