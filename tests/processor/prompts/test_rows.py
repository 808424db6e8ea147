"""Dialogues as rows: targets, segments and prefix. A row is drawn as its text and its labels."""

import random
from dataclasses import replace

import pytest

from ojito.processor import RowError, texts
from ojito.records import IGNORE, Sample, Turn
from tests.processor.prompts.drawn import BLIND, CHAT, QA, TWO, draw, write


def test_one_turn_labels_its_answer_and_eos():
    assert draw(Sample(["p"], turns=(QA,))) == [
        "ii^qr|ab$",
        ".....ab$.",
        "xxxxxx...",
        "000000000",
        "012345678",
    ]


def test_chat_reads_earlier_turns_and_only_the_first_question_is_prefix():
    assert draw(TWO) == [
        "ii^qr|ab$s|d$",
        ".....ab$..d$.",
        "xxxxxx.......",
        "0000000000000",
        "0123456789101112",
    ]


def test_blind_turn_alone_is_the_same_computation_as_packed():
    alone = write(replace(TWO, turns=TWO.turns[1:]), BLIND)
    packed = write(TWO, BLIND)
    for name in ("tokens", "targets", "positions", "prefix"):
        values = getattr(packed, name)
        assert getattr(alone, name) == values[:3] + values[9:]


def test_generation_ends_where_the_last_answer_begins():
    assert draw(TWO, training=False)[:2] == ["ii^qr|ab$s|", "..........."]


def test_generation_writes_only_the_last_blind_turn():
    assert draw(TWO, BLIND, training=False) == ["ii^s|", ".....", "xxxxx", "00011", "01234"]


def test_training_row_begins_with_the_generation_row():
    for config in (CHAT, BLIND, replace(CHAT, loss="all")):
        sample = Sample(["p"], turns=(QA,))
        learned, asked = write(sample, config), write(sample, config, training=False)
        for name in ("tokens", "positions", "segments", "prefix"):
            assert getattr(learned, name)[: len(asked.tokens)] == getattr(asked, name)


def test_every_target_is_the_next_token_of_its_segment():
    for config in (CHAT, BLIND, replace(CHAT, loss="all"), replace(BLIND, loss="all")):
        row = write(TWO, config)
        for place, target in enumerate(row.targets):
            if target != IGNORE:
                assert target == row.tokens[place + 1]
                assert row.segments[place] == row.segments[place + 1]
                assert row.positions[place] + 1 == row.positions[place + 1]
                assert not row.prefix[place + 1]  # a prefix-LM must not see what it is to predict


def test_loss_all_labels_the_questions_and_takes_them_out_of_the_prefix():
    assert draw(TWO, replace(CHAT, loss="all"))[1:3] == ["..qr|ab$s|d$.", "xxx.........."]
    # the first token of a blind question follows the image, which has no room for a target of each turn
    assert draw(TWO, replace(BLIND, loss="all"))[1:3] == ["...r|ab$.|d$.", "xxx.........."]


def test_bos_changes_output():
    assert draw(TWO, replace(CHAT, bos=False))[0] == "iiqr|ab$s|d$"


def test_separator_changes_output():
    assert draw(TWO, replace(CHAT, separator="gh"))[0] == "ii^qrghab$sghd$"
    assert draw(TWO, replace(CHAT, separator=""))[:2] == ["ii^qrab$sd$", "....ab$.d$."]


def test_caption_changes_output():
    sample = Sample(["p"], turns=(Turn("", ("ab",)),))
    assert draw(sample)[0] == "ii^c|ab$"
    assert draw(sample, replace(CHAT, caption="gh"))[0] == "ii^gh|ab$"


def test_all_answers_are_blind_turns_of_their_own():
    every = replace(BLIND, answers="all")
    assert draw(TWO, every) == [
        "ii^qr|ab$s|d$s|ef$",
        ".....ab$..d$..ef$.",
        "xxxxxx...xx..xx...",
        "000111111222233333",
        "012345678345634567",
    ]
    assert draw(TWO, every, training=False) == draw(TWO, BLIND, training=False)
    with pytest.raises(RowError, match=r"turn 1 .* has an empty answer"):
        write(Sample(["p"], turns=(Turn("q"),)), every)


def test_blind_turns_without_a_separator_answer_from_the_end_of_the_question():
    assert draw(TWO, replace(BLIND, separator=""))[:2] == ["ii^qrab$sd$", "....ab$.d$."]


def test_rng_draws_one_of_the_answers_reproducibly():
    sample = Sample([], turns=(Turn("q", ("a", "b", "d")),))
    rows = [draw(sample, rng=random.Random(seed))[0] for seed in range(30)]
    assert set(rows) == {"^q|a$", "^q|b$", "^q|d$"}
    assert rows == [draw(sample, rng=random.Random(seed))[0] for seed in range(30)]
    assert draw(sample)[0] == "^q|a$"


def test_row_that_begins_with_what_is_learned_keeps_its_labels():
    row = Sample(turns=(QA,))
    assert draw(row, replace(CHAT, loss="all", bos=False))[:2] == ["qr|ab$", "r|ab$."]


def test_texts_are_all_that_the_model_reads_and_writes():
    samples = [Sample(["p"], turns=(Turn("", ("a", "b")), Turn("<image>\nq", ("d",))))]
    assert list(texts(samples, CHAT)) == ["c", "|", "a", "b", "q", "|", "d"]
    chat = replace(CHAT, user="u", before_answer=" ")
    assert list(texts(samples, chat)) == ["u", "c", "|", " a", " b", "u", "q", "|", " d"]
    assert list(texts(samples, replace(chat, joined=True))) == ["uc|", " a", " b", "uq|", " d"]


def test_chat_among_blind_turns_is_written_as_a_chat():
    for config in (BLIND, replace(BLIND, answers="all")):
        for training in (True, False):
            chat = replace(TWO, chat=True)
            assert draw(chat, config, training=training) == draw(TWO, CHAT, training=training)
    assert draw(replace(TWO, chat=True), CHAT) == draw(TWO, CHAT)
