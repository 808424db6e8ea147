"""Rows with more text than the model takes, found before the first step: divided, or left out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence

from ojito.data.files import DataError
from ojito.processor import Processor, RowError, TooLongError
from ojito.records import Sample, Turn

MEASURED = 10_000
"""The most rows whose tokens are counted; of more that may be too long, so many are looked at, spread over all of them.

The loader leaves out the others, when it comes to them."""

LARGE = 100_000
"""Rows of which more are not looked at before the first step, where each of them has to be read for it."""

log = logging.getLogger(__name__)


def is_large(rows: Sequence[Sample]) -> bool:
    """Whether to look at all rows would take long: there are many, and they do not lie in memory."""
    return len(rows) > LARGE and not isinstance(rows, (list, tuple))


def fitting_rows(name: str, rows: Sequence[Sample], processor: Processor) -> tuple[Sequence[Sample], list[str]]:
    """Return the rows that can be written, and a line about each that cannot.

    With turns=blind a row is divided, as its turns have nothing to do with each other. Of several answers of which one
    is drawn, those are left out that are too long. Very many rows that are read one by one stay as they are: those that
    are too long are left out when the loader comes to them.

    Args:
        name: Of the source, for messages.
        rows: All rows of a split.
        processor: Writes them.

    Raises:
        DataError: All are too long.
    """
    if is_large(rows):
        return rows, []
    rows = rows if isinstance(rows, list) else [*rows]
    long = [number for number, row in enumerate(rows) if not processor.surely_fits(row)]
    measured = {*long[:: -(-len(long) // MEASURED) or 1]}
    good: list[Sample] = []
    errors: list[TooLongError] = []
    for number, row in enumerate(rows):
        good += _fitting(row, processor, errors) if number in measured else [row]
    if errors:
        longest = max(errors, key=lambda error: error.length)
        if not good:
            raise DataError(name, f"all {len(rows)} rows are too long", longest.remedy, [str(longest)])
        some = "" if len(measured) == len(long) else f" of {len(measured):,} that were measured"
        log.warning(
            "%s: of %d rows, %d texts%s are too long and are left out; the longest: %s",
            name, len(rows), len(errors), some, longest,
        )  # fmt: skip
    return good, [str(error) for error in errors]


def first_fitting(row: Sample, processor: Processor) -> Sample:
    """Return the row, or the first of those that training divides it into.

    Raises:
        TooLongError: Nothing of it fits.
    """
    errors: list[TooLongError] = []
    for part in _fitting(row, processor, errors):
        return part
    raise errors[0]


def _fitting(row: Sample, processor: Processor, errors: list[TooLongError]) -> Iterator[Sample]:
    """Yield what can be written of a row; add an error for each text that cannot."""
    every = processor.config.prompt.answers == "all"
    try:
        processor.check_length(row if every else _with_answers(row, max))
        yield row
    except TooLongError as error:
        parts = _halves(row, processor)
        if parts:
            for part in parts:
                yield from _fitting(part, processor, errors)
        elif not every and any(len(turn.answers) > 1 for turn in row.turns):
            yield from _without_long_answers(row, processor, errors)
        else:
            errors.append(error)
    except RowError:  # something else is wrong with it, which the loader says
        yield row


def _with_answers(row: Sample, pick: Callable[..., str]) -> Sample:
    """The row with one answer a turn: `max` picks the longest, `min` the shortest."""
    turns = [(turn, (pick(turn.answers, key=len),) if turn.answers else ()) for turn in row.turns]
    return dataclasses.replace(row, turns=tuple(dataclasses.replace(turn, answers=a) for turn, a in turns))


def _halves(row: Sample, processor: Processor) -> list[Sample]:
    """The row in two, where its turns, or the answers of its only turn, are learned independently."""
    prompt = processor.config.prompt
    turns = row.turns
    if prompt.turns != "blind" or row.chat:
        return []
    if len(turns) == 1 and prompt.answers == "all":
        (turn,) = turns
        turns = tuple(dataclasses.replace(turn, answers=(answer,)) for answer in turn.answers)
    half = len(turns) // 2
    return [dataclasses.replace(row, turns=part) for part in (turns[:half], turns[half:])] if half else []


def _without_long_answers(row: Sample, processor: Processor, errors: list[TooLongError]) -> Iterator[Sample]:
    """Yield the row with the answers that fit beside the shortest ones of the other turns."""
    shortest = _with_answers(row, min)
    turns: list[Turn] = []
    for number, turn in enumerate(row.turns):
        answers = []
        for answer in turn.answers:
            only = dataclasses.replace(turn, answers=(answer,))
            try:
                processor.check_length(
                    dataclasses.replace(row, turns=(*shortest.turns[:number], only, *shortest.turns[number + 1 :]))
                )
                answers.append(answer)
            except TooLongError as error:
                errors.append(error)
        if turn.answers and not answers:
            return
        turns.append(dataclasses.replace(turn, answers=tuple(answers)))
    yield dataclasses.replace(row, turns=tuple(turns))
