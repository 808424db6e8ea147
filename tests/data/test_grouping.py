from pathlib import Path

import pytest

from ojito.data.grouping import group, turns_read
from ojito.records import Sample, Turn

A, B = [Path("a.jpg")], [Path("b.jpg")]


def ask(question, *answers, image=A, **more):
    return Sample(image, turns=(Turn(question, answers),), **more)


def caption(*texts, image=A, **more):
    return Sample(image, turns=(Turn("", texts, "caption"),), **more)


CHAT = Sample(A, turns=(Turn("say two", ("two",)), Turn("again", ("two",))), chat=True)
ROWS = [caption("x"), ask("what?", "dog", image=B), ask("what?", "dog"), caption("y"), ask("what?", "pup"), CHAT]


def shown(samples):
    return [[(turn.prompt, turn.answers) for turn in sample.turns] for sample in samples]


def test_captions_become_references_and_answers_those_of_one_question():
    assert shown(group(ROWS, blind=False)) == [
        [("", ("x", "y"))],
        [("what?", ("dog",))],
        [("what?", ("dog", "pup"))],
        [("say two", ("two",)), ("again", ("two",))],
    ]


def test_blind_questions_about_an_image_are_turns_of_one_sample():
    assert shown(group(ROWS, blind=True)) == [
        [("", ("x", "y")), ("what?", ("dog", "pup"))],
        [("what?", ("dog",))],
        [("say two", ("two",)), ("again", ("two",))],
    ]


@pytest.mark.parametrize(
    "others",
    [
        caption("y", split="dev"),
        caption("y", image=B),
        caption("y", image=A + B),
        Sample(A, turns=(Turn("", ("y",), "short"),)),
    ],
    ids=["split", "image", "images", "kind"],
)
def test_captions_of_another_split_image_or_kind_stay_apart(others):
    assert len(group([caption("x"), others], blind=False)) == 2


def test_rows_of_text_alone_stay_apart():
    rows = [ask("what?", "dog", image=[]), ask("what?", "cat", image=[])]
    assert group(rows, blind=True) == rows


def test_question_with_a_tag_is_the_same_question():
    rows = [ask("<image>\nwhat?", "dog"), ask("what?", "pup")]
    assert shown(group(rows, blind=True)) == [[("<image>\nwhat?", ("dog", "pup"))]]


def test_row_keeps_the_origin_of_its_first_line():
    rows = [caption("x", origin="rows:1", split="dev"), caption("y", origin="rows:2", split="dev")]
    assert [(row.origin, row.split) for row in group(rows, blind=True)] == [("rows:1", "dev")]


def test_references_of_a_question_are_never_parted():
    (sample,) = group([caption(f"a caption of some words, number {n}") for n in range(200)], blind=True)
    assert len(sample.turns[0].answers) == 200


def test_line_says_how_turns_are_read():
    assert turns_read(group(ROWS, False), blind=False) == (
        "2 captions and 2 questions about 2 images, each asked apart; 1 conversation read as a chat"
    )
    assert turns_read(group(ROWS, True), blind=True) == (
        "2 captions and 2 questions about 2 images, read blind to each other; 1 conversation read as a chat"
    )
    assert turns_read([caption("x"), ask("what?", "x", image=[])], blind=True) == (
        "1 caption of 1 image; 1 row of text alone"
    )
    assert turns_read([CHAT, CHAT], blind=True) == "2 conversations read as chats"
