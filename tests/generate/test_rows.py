import dataclasses

import pytest
import torch

from ojito.generate import GenerateOptions, Generation
from ojito.generate.rows import Row, collate, last_columns, tokens_of
from ojito.records import IMAGE, PADDING

COLUMNS = ("tokens", "positions", "segments", "prefix", "targets")


def test_collated_rows_are_those_of_the_processor(tiny_processor, questions):
    together = collate([tiny_processor([one]) for one in questions])
    expected = tiny_processor(questions)
    expected.tokens[expected.segments == PADDING] = 0
    assert all(torch.equal(getattr(together, name), getattr(expected, name)) for name in (*COLUMNS, "images"))
    assert collate([tiny_processor([questions[2]])]).images is None


def test_last_columns_are_padded_on_the_left(tiny_processor, questions):
    batch = tiny_processor(questions)
    counts = tokens_of(batch)
    rest = last_columns(batch, [3, 2, 5, 1])
    assert rest.tokens.shape == (4, 5)
    for row, count in enumerate((3, 2, 5, 1)):
        for name in COLUMNS:
            assert torch.equal(getattr(rest, name)[row, -count:], getattr(batch, name)[row, -count:])
        assert (rest.segments[row, :-count] == PADDING).all()
    assert rest.images is None  # none of them is among these
    whole = last_columns(batch, counts)
    assert (whole.tokens == IMAGE).sum() == 4 * 4
    assert whole.images is batch.images


@pytest.mark.parametrize(("name", "shape"), [("patches", (1, 4, 7)), ("visual", (1, 4, 32))])
def test_what_rows_bring_in_place_of_images_stays_in_order(tiny_processor, questions, name, shape):
    batches = []
    for number, question in enumerate(questions[:3]):
        brought = torch.full(shape, float(number)) if question.images else None
        batches.append(dataclasses.replace(tiny_processor([question]), images=None, **{name: brought}))
    assert getattr(collate(batches), name)[:, 0, 0].tolist() == [0, 1]


def test_row_ends_as_it_is_told():
    def row(limit=3, stop=None):
        return Row(GenerateOptions(), limit, stop, slice(0), None, torch.Generator())

    one = row()
    one.add(2, {2})
    assert one.answer == Generation([], "eos")
    one = row()
    for left, token in zip((2, 1, 0), (5, 6, 7), strict=True):
        one.add(token, {2})
        assert one.left == left
    assert one.answer == Generation([5, 6, 7], "length")
    one = row(stop=lambda tokens: tokens == [5])
    one.add(5, {2})
    assert one.answer == Generation([5], "stop")
    assert one.guess(5) == []
