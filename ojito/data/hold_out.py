"""Rows that are held out of training to score the model on, and the names that splits go by.

A model that is asked what it has learned by heart is always right. So where data name no split, some rows are kept from
it; rows about one image stay together, on one side or the other.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ojito.config import DataConfig
from ojito.data.indexed.source import IndexedSource
from ojito.data.mixture import MixedRows, Mixture, mix
from ojito.data.source import Source
from ojito.learned import Learned, row_keys
from ojito.records import Sample

LEAST = 20  # rows held out at least: fewer score by chance
SMALLEST = 40  # rows of the smallest data of which some are held out
FILES = 5000  # rows whose images are read to find copies among them
MOST = 5  # of a small data set, one row in five at most

SPLITS = ("dev", "val", "valid", "validation", "eval", "test")
"""Names of splits to be scored on, the likeliest to be meant first."""


@dataclass(frozen=True)
class HoldOut:
    """Data of which some rows may have been held out.

    Attributes:
        source: The data; the rows that were held out have the evaluation split.
        rows: The rows that were held out.
        said: What to say about it, in a line; empty where there is nothing to be said.
    """

    source: Any
    rows: Sequence[Sample] = ()
    said: str = ""


def hold_out(source: Any, data: DataConfig, seed: int = 0, before: Learned | None = None) -> HoldOut:
    """Hold some rows out, by image, where the data name no split.

    Args:
        source: What `open_data` opened. Rows of a split, a stream, and a source of one's own stay as they are.
        data: The recipe's `data`: the share, and the split that the rows get.
        seed: Decides which.
        before: What the model has learned already. Rows that were held out then are held out again, and none that were
            learned.
    """
    if isinstance(source, Mixture):
        return _hold_out_each(source, data, seed, before)
    if isinstance(source, IndexedSource):
        return _hold_out_large(source, data, seed, before)
    if not isinstance(source, Source) or any(row.split for row in source.rows):
        return HoldOut(source)
    if not data.hold_out or data.eval_split == data.split:
        return HoldOut(source)
    count = len(source.rows)
    if count < SMALLEST:
        return HoldOut(source, said=f"nothing is held out: {count} rows are too few to spare some")
    groups = by_image(source.rows)
    fresh = groups
    if before:
        again = [g for g in groups if any(before.is_held_out(source.rows[i]) for i in g)]
        fresh = [g for g in groups if not before.count(source.rows[i] for i in g)]
        if again:
            return _held(source, again, data.eval_split)
        if not fresh:
            return HoldOut(source, said=f"nothing is held out: the model has learned these {count:,} rows before")
    target = max(round(data.hold_out * count), min(LEAST, count // MOST))
    random.Random(f"{seed} hold out").shuffle(fresh)
    chosen: list[list[int]] = []
    held = 0
    for group in fresh:
        if held < target and held + len(group) <= max(target, count // MOST):
            chosen.append(group)
            held += len(group)
    if not chosen:
        return HoldOut(source, said=f"nothing is held out: the {count:,} rows are about too few images")
    return _held(source, chosen, data.eval_split)


def by_image(rows: Sequence[Sample], most: int = FILES) -> list[list[int]]:
    """Return the numbers of the rows in groups: rows that share an image are in one, in the order of the rows.

    Args:
        rows: The rows.
        most: Up to so many rows, a copy of an image under another name is that image; of more, to read all files would
            keep training from beginning, and files are known by their paths.
    """
    known = row_keys if len(rows) <= most else functools.partial(row_keys, read=False)
    above = list(range(len(rows)))

    def top(number: int) -> int:
        while above[number] != number:
            above[number] = number = above[above[number]]
        return number

    first: dict[bytes, int] = {}
    for number, row in enumerate(rows):
        for key in known(row):
            ours, theirs = sorted((top(number), top(first.setdefault(key, number))))
            above[theirs] = ours
    groups: dict[int, list[int]] = {}
    for number in range(len(rows)):
        groups.setdefault(top(number), []).append(number)
    return list(groups.values())


def mark_held_out(source: Source, learned: Learned | None, split: str) -> Source:
    """Return data without splits with those rows as `split` that were held out when the model was trained on them."""
    if learned is not None and isinstance(source, IndexedSource):
        return source.hold(learned.rule, split) if learned.rule and not source.names_splits else source
    if learned is None or not learned.held_out or any(row.split for row in source.rows):
        return source
    groups = [[i] for i, row in enumerate(source.rows) if learned.is_held_out(row)]
    held: Source = _held(source, groups, split).source
    return held


def find_split(known: Collection[str], asked: str, test: bool = True) -> str:
    """Return the split that is meant: the one of that name, or for a usual name of one to be scored on, another.

    Args:
        known: The splits that the data have.
        asked: The name that a recipe or a user says.
        test: Whether "test" will do for another.
    """
    if asked in known or asked not in SPLITS or (asked == "test" and not test):
        return asked
    return next((name for name in SPLITS if name in known and (test or name != "test")), asked)


def _hold_out_each(source: Mixture, data: DataConfig, seed: int, before: Learned | None) -> HoldOut:
    """Hold out rows of each source of a mixture apart."""
    held = [hold_out(part, data, seed, before) for part in source.parts]
    rows = [one.rows for one in held if len(one.rows)]
    said = "; ".join(f"{part.name}: {one.said}" for part, one in zip(source.parts, held, strict=True) if one.said)
    return HoldOut(
        mix([one.source for one in held], source.weights), MixedRows(rows, [1] * len(rows)) if rows else (), said
    )


def _hold_out_large(source: IndexedSource, data: DataConfig, seed: int, before: Learned | None) -> HoldOut:
    """Hold out the rows about some images: which ones, their names alone decide, so that no row has to be read."""
    if source.names_splits or not data.hold_out or data.eval_split == data.split or len(source.rows) < SMALLEST:
        return HoldOut(source)
    rule = before.rule if before and before.rule else f"{seed} {data.hold_out}"
    held = source.hold(rule, data.eval_split)
    if held is source:
        return HoldOut(source, said=f"nothing is held out: the {len(source.rows):,} rows are about too few images")
    rows = held.samples(data.eval_split)
    lost = len(source.rows) - len(rows) - len(held.samples(data.split))
    between = f" ({lost:,} that show images of both sides are left out)" if lost else ""
    return HoldOut(held, rows, _said(len(rows), len(source.rows)) + between)


def _said(held: int, count: int) -> str:
    return f"held out {held:,} of {count:,} rows, by image, to score the model on; data.hold_out=0 switches this off"


def _held(source: Source, groups: Sequence[Sequence[int]], split: str) -> HoldOut:
    numbers = {number for group in groups for number in group}
    rows = [dataclasses.replace(row, split=split) if i in numbers else row for i, row in enumerate(source.rows)]
    said = _said(len(numbers), len(rows))
    return HoldOut(dataclasses.replace(source, rows=rows), [rows[i] for i in sorted(numbers)], said)
