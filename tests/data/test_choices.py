"""Questions with choices: how rows write them, and what they become."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ojito.data import read_source
from ojito.data.choices import with_choices, without_choices
from ojito.data.keys import BadRow
from ojito.data.rows import samples_of
from ojito.data.shard_writer import write_shards
from ojito.data.written import values_of
from ojito.records import Turn

CHOICES = ("a kite", "a dog")


def read(**values):
    row = {"image": "a.jpg", "question": "what is it?", "choices": [*CHOICES], "answer": "a dog", **values}
    (sample,) = samples_of({key: value for key, value in row.items() if value is not None}, Path, "rows:1")
    return sample


@pytest.mark.parametrize("answer", ["a dog", "B", "b"])
def test_prompt_lists_the_choices_and_the_answer_is_a_letter(answer):
    (turn,) = read(answer=answer).turns
    assert turn == Turn("what is it?\nA. a kite\nB. a dog", ("B",), choices=CHOICES)


def test_text_of_a_choice_comes_before_its_letter():
    assert read(choices=["B", "A"], answer="B").turns[0].answers == ("A",)
    assert read(choices=[3, 2, 1], answer=1).turns[0].answers == ("C",)


def test_several_answers_and_questions_of_a_row_have_choices():
    assert read(answer=None, answers=["a dog", "A"]).turns[0].answers == ("B", "A")
    row = {"image": "a.jpg", "qa": [{"question": "q?", "choices": ["x", "y"], "answer": "x"}]}
    (sample,) = samples_of(row, Path, "")
    assert sample.turns[0].choices == ("x", "y")
    assert read(choices=None).turns[0] == Turn("what is it?", ("a dog",))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"answer": "a cat"},
            "answer 'a cat' is none of its 2 choices; write the text of a choice or its letter, A to B",
        ),
        ({"answer": "C"}, "answer 'C' is none of its 2 choices"),
        ({"choices": ["x"]}, "has 1 choices; give 2 to 26"),
        ({"choices": [*range(27)]}, "has 27 choices; give 2 to 26"),
        ({"choices": ["x", "x"]}, "has a choice twice"),
        ({"choices": ["x\ny", "z"]}, "has a choice of several lines"),
        ({"choices": "x"}, "choices is 'x', not a list"),
    ],
)
def test_choices_that_cannot_be_used_make_a_bad_row(values, said):
    with pytest.raises(BadRow, match=said.replace("(", ".")):
        read(**values)


def test_question_comes_back_from_its_prompt():
    assert without_choices(with_choices("what?", CHOICES), CHOICES) == "what?"
    assert without_choices("what?", ()) == "what?"


def test_rows_with_choices_are_written_as_they_were_read():
    values = values_of(read(kind="object"))
    assert values == {"question": "what is it?", "answers": ["B"], "choices": [*CHOICES], "kind": "object"}
    (again,) = samples_of({**values, "image": "a.jpg"}, Path, "rows:1")
    assert again.turns == read(kind="object").turns


def test_choices_beside_a_system_message_are_written_too():
    sample = read(system="be short")
    values = values_of(sample)
    assert (values["system"], values["choices"]) == ("be short", [*CHOICES])
    (again,) = samples_of({**values, "image": "a.jpg"}, Path, "rows:1")
    assert (again.turns, again.system, again.chat) == (sample.turns, "be short", True)


def test_choices_are_packed_and_read_again(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    rows = [
        {"image": "a.png", "question": "what?", "choices": ["x", "y"], "answer": "y"},
        {"image": "a.png", "question": "which?", "choices": ["p", "q", "r"], "answer": "p"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = read_source(tmp_path / "rows.jsonl", pack=True)
    write_shards(source, tmp_path / "out", 2**20, 0.0)
    turns = [turn for row in read_source(tmp_path / "out", pack=True).rows for turn in row.turns]
    assert [(turn.prompt, turn.answers, turn.choices) for turn in turns] == [
        ("what?\nA. x\nB. y", ("B",), ("x", "y")),
        ("which?\nA. p\nB. q\nC. r", ("A",), ("p", "q", "r")),
    ]
