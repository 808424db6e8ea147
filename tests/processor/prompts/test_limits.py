"""Rows that are too long, or of nothing."""

from dataclasses import replace

import pytest

from ojito.processor import RowError
from ojito.processor.prompts import RowWriter
from ojito.records import Sample, Turn
from tests.processor.prompts.drawn import BLIND, CHARACTERS, CHAT, QA, TWO, write


@pytest.mark.parametrize(("answers", "problem"), [((), "has no answer"), (("",), "an empty"), ((" \n",), "an empty")])
def test_turn_without_an_answer_is_refused_in_training(answers, problem):
    sample = Sample(["p"], turns=(QA, Turn("s", answers)), origin="rows:7")
    with pytest.raises(RowError, match=rf"^rows:7: turn 2 \('s'\) .*{problem}.*; give it one"):
        write(sample)
    assert write(sample, training=False)


def test_earlier_chat_turn_needs_its_answer_in_generation_too():
    sample = Sample(["p"], turns=(Turn("q"), Turn("s")))
    with pytest.raises(RowError, match="turn 1"):
        write(sample, training=False)
    assert write(sample, BLIND, training=False)


def test_max_tokens_counts_text_and_not_images():
    config = replace(CHAT, max_tokens=7)
    assert write(Sample(["p"] * 5, turns=(QA,)), config)
    with pytest.raises(
        RowError, match=r"sample: has 11 tokens of text, more than processor.prompt.max_tokens 7; shorten"
    ):
        write(TWO, config)


def test_more_places_than_positions_are_refused_by_name():
    sample = Sample(["p"] * 3, turns=(QA,), origin="rows:9")
    assert RowWriter(CHAT, CHARACTERS, 2, max_positions=13).write(sample, training=True)
    message = "^rows:9: needs 13 positions, 2 for each of 3 images, and the decoder has 12; use fewer"
    with pytest.raises(RowError, match=message):
        RowWriter(CHAT, CHARACTERS, 2, max_positions=12).write(sample, training=True)
    # iiiiii^qr| and one token of an answer
    assert RowWriter(CHAT, CHARACTERS, 2, max_positions=11).write(sample, training=False)
    with pytest.raises(RowError, match="needs 11 positions"):
        RowWriter(CHAT, CHARACTERS, 2, max_positions=10).write(sample, training=False)


@pytest.mark.parametrize("image_tokens", [0, 2])
def test_text_alone_that_is_longer_than_the_decoder_is_refused(image_tokens):
    with pytest.raises(RowError, match=r"^rows:9: needs 7 positions, and the decoder has 6; use less text$"):
        RowWriter(CHAT, CHARACTERS, image_tokens, max_positions=6).write(Sample(turns=(QA,), origin="rows:9"), True)


def test_blind_turns_need_the_positions_of_the_longest_alone():
    assert RowWriter(BLIND, CHARACTERS, 2, max_positions=9).write(TWO, training=True)


def test_row_of_nothing_is_refused():
    with pytest.raises(RowError, match="neither image nor text"):
        write(Sample(), replace(CHAT, caption="", separator="", bos=False), training=False)


def test_turn_that_is_too_long_by_itself_is_refused_with_its_row():
    sample = Sample(["p"], turns=(QA, Turn("q", ("ab" * 9,))), origin="rows:7")
    with pytest.raises(RowError, match=r"rows:7: has \d+ tokens of text, more than processor.prompt.max_tokens 12"):
        write(sample, replace(BLIND, max_tokens=12))
