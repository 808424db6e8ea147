from dataclasses import replace

import pytest

from ojito.config import ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.data import DataError, lengths
from ojito.data.lengths import fitting_rows
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample, Turn

TOKENIZER = Tokenizer.train(TokenizerConfig(kind="characters"), ["abcdefghijklmnopqrstuvwxyz 0123456789?\n"], 100)


def processor(max_positions=None, **prompt):
    config = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"), prompt=PromptConfig(**prompt))
    return Processor(config, TOKENIZER, image_size=8, image_tokens=4, max_positions=max_positions)


def row(*answers, number=1, prompt="q"):
    return Sample(turns=(Turn(prompt, answers),), origin=f"rows:{number}")


def written(rows):
    return [[(turn.prompt, *turn.answers) for turn in row.turns] for row in rows]


def test_long_rows_are_left_out_and_the_longest_is_named(caplog):
    rows = [row("a" * (30 if n % 4 else 10 * n + 90), number=n) for n in range(1, 9)]
    good, problems = fitting_rows("rows", rows, processor(max_tokens=60))
    assert good == [row for n, row in enumerate(rows, 1) if n % 4]
    assert [problem.split(" ")[0:3] for problem in problems] == [["rows:4:", "has", "134"], ["rows:8:", "has", "174"]]
    assert caplog.messages == [
        "rows: of 8 rows, 2 texts are too long and are left out; the longest: rows:8: has 174 tokens of text, "
        "more than processor.prompt.max_tokens 60; shorten it or raise the limit"
    ]


def test_rows_that_fit_are_not_tokenized_and_nothing_is_said(caplog, monkeypatch):
    monkeypatch.setattr(Processor, "check_length", lambda *args: pytest.fail("tokenized"))
    rows = [row("short"), row("two", "answers")]
    assert fitting_rows("rows", rows, processor()) == (rows, [])
    assert not caplog.messages


def test_nothing_but_long_rows_ends_before_the_first_step():
    with pytest.raises(
        DataError, match=r"^rows: all 2 rows are too long; shorten it or raise the limit\n  rows:1: has 604"
    ):
        fitting_rows("rows", [row("a" * 600), row("b" * 550)], processor())


def test_positions_of_the_decoder_count_like_max_tokens():
    rows = [replace(row("a" * length), images=["a.png"] * images) for length, images in [(20, 1), (30, 1), (20, 4)]]
    good, problems = fitting_rows("rows", rows, processor(max_positions=34))
    assert good == rows[:1]
    assert all("positions" in problem for problem in problems)


def test_answers_that_are_drawn_are_left_out_one_by_one():
    rows = [row("a" * 90, "b", "c" * 91, "d")]
    good, problems = fitting_rows("rows", rows, processor(max_tokens=60))
    assert written(good) == [[("q", "b", "d")]]
    assert len(problems) == 2


def test_answers_that_fit_beside_short_ones_only_stay():
    chat = Sample(turns=(Turn("q", ("a" * 30, "b")), Turn("r", ("c" * 30, "d", "e" * 80))), origin="rows:1")
    good, problems = fitting_rows("rows", [chat], processor(max_tokens=60, turns="chat"))
    assert written(good) == [[("q", "a" * 30, "b"), ("r", "c" * 30, "d")]]
    assert len(problems) == 1


def test_many_blind_questions_about_an_image_are_divided():
    many = Sample(["a.png"], turns=tuple(Turn(f"what is {n}?", (f"it is {n}",)) for n in range(120)), origin="rows:1")
    made = processor(max_tokens=200, turns="blind")
    good, problems = fitting_rows("rows", [many], made)
    assert not problems
    assert [turn for part in good for turn in part.turns] == [*many.turns]
    assert len(good) > 5
    for part in good:
        made.check_length(part)
        assert part.images == many.images


def test_many_captions_of_an_image_are_divided_where_all_are_taught():
    many = row(*(f"caption {n}" for n in range(200)))
    made = processor(max_tokens=200, turns="blind", answers="all")
    good, problems = fitting_rows("rows", [many], made)
    assert not problems
    assert [answer for part in good for turn in part.turns for answer in turn.answers] == [*many.turns[0].answers]
    for part in good:
        made.check_length(part)


def test_one_long_answer_among_many_is_left_out_alone():
    many = row(*("b" * 20,) * 9, "a" * 300, *("c" * 20,) * 9)
    good, problems = fitting_rows("rows", [many], processor(max_tokens=200, turns="blind", answers="all"))
    assert len(problems) == 1
    assert sum(len(turn.answers) for part in good for turn in part.turns) == 18


def test_chat_is_not_divided():
    many = Sample(turns=tuple(Turn(f"what is {n}?", (f"it is {n}",)) for n in range(120)), origin="rows:1")
    good, problems = fitting_rows("rows", [row("a"), many], processor(max_tokens=200, turns="chat"))
    assert (len(good), len(problems)) == (1, 1)


def test_row_with_another_fault_is_left_to_the_loader():
    bad = Sample(turns=(Turn("q" * 900, ()),))
    assert fitting_rows("rows", [bad], processor()) == ([bad], [])


def test_of_very_many_long_rows_some_are_measured(monkeypatch, caplog):
    monkeypatch.setattr(lengths, "MEASURED", 10)
    rows = [row("a" * 600, number=n) for n in range(40)] + [row("a")]
    good, problems = fitting_rows("rows", rows, processor())
    assert (len(good), len(problems)) == (31, 10)
    assert "of 41 rows, 10 texts of 10 that were measured are too long" in caplog.text


@pytest.mark.parametrize("text", ["a", "ä", "語", "🙂", " a b ", "<eos>"])
@pytest.mark.parametrize(
    "prompt", [{}, {"turns": "blind", "answers": "all", "separator": "?"}, {"user": "a:", "caption": "b"}]
)
def test_what_surely_fits_fits(text, prompt):
    for count in range(1, 30):
        sample = Sample(turns=(Turn(text * count, (text, text * count)),) * 2)
        made = processor(max_tokens=100, **prompt)
        if made.surely_fits(sample):
            made.check_length(sample)
