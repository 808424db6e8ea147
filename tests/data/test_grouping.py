from pathlib import Path

import pytest

from ojito.config import PromptConfig, TokenizerConfig
from ojito.data.grouping import group, turns_read
from ojito.processor import Tokenizer
from ojito.processor.prompts import RowWriter
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


def longest(samples, config, texts):
    """Tokens of text of the longest row, with the worst of tokenizers: a token a character."""
    tokenizer = Tokenizer.train(TokenizerConfig(kind="bpe", vocab_size=400), texts, 400)
    writer = RowWriter(config, tokenizer, image_tokens=0)
    return max(len(writer.write(sample, training=True).tokens) for sample in samples)


@pytest.mark.parametrize("answers", ["one", "all"])
def test_many_questions_about_an_image_become_rows_that_fit(answers):
    rows = [ask(f"what is thing number {n}?", f"it is a thing of kind {n % 7}", "a thing") for n in range(120)]
    samples = group(rows, blind=True, every_answer=answers == "all")
    assert 1 < len(samples) < 60
    assert [turn for sample in samples for turn in sample.turns] == [row.turns[0] for row in rows]
    config = PromptConfig(turns="blind", answers=answers)
    assert longest(samples, config, [row.turns[0].prompt for row in rows]) <= config.max_tokens


def test_references_of_a_question_are_never_parted():
    (sample,) = group([caption(f"a caption of some words, number {n}") for n in range(200)], blind=True)
    assert len(sample.turns[0].answers) == 200


@pytest.mark.parametrize(("options", "count"), [({}, 2), ({"max_tokens": 99}, 8), ({"every_answer": False}, 1)])
def test_limits_change_output(options, count):
    rows = [ask(f"question {n}?", *["some answer"] * 6) for n in range(8)]
    assert len(group(rows, blind=True, **options)) == count


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
