"""What can be had without looking: learned from training rows, beside the model's score."""

import dataclasses

import pytest

from ojito.data import Scenes, Source
from ojito.evaluate import Graded, HeldOut, Report
from ojito.evaluate.captions import cider
from ojito.evaluate.without_looking import (
    Priors,
    verdicts,
    without_looking,
    without_looking_html,
    without_looking_table,
)
from ojito.records import Sample, Turn


def asked(prompt, *answers, kind="", split="train"):
    return Sample(turns=(Turn(prompt, answers, kind),), split=split)


TRAIN = [
    *[asked("is it red?", "yes", kind="hue")] * 3,
    *[asked("is it blue?", "no", kind="hue")] * 2,
    *[asked("how many?", "2", kind="count")] * 4,
    asked("how many?", "7", kind="count"),
    asked("how many dogs?", "3", kind="count"),
]


def graded(given, row, number=0):
    return Graded(row, given, given in row.turns[0].answers, number=number)


def held_out(train, dev, split="dev"):
    return HeldOut(Source("rows", [*train, *dev]), split, dev)


def test_prior_is_of_the_question_then_of_its_kind_then_of_all():
    priors = Priors(TRAIN)
    assert priors.answer(Turn("Is it blue", kind="hue")) == "no"
    assert priors.answer(Turn("how many dogs?", kind="count")) == "3"
    assert priors.answer(Turn("how many cats?", kind="count")) == "2"
    assert priors.answer(Turn("is it green?", kind="hue")) == "yes"
    assert priors.answer(Turn("what?", kind="other")) == priors.constant == "2"
    assert priors.answers == 5
    assert not Priors([asked("", "a dog")])


def test_people_who_answer_one_question_count_as_one():
    assert Priors([asked("a?", *["x"] * 10), asked("a?", "y"), asked("a?", "Y.")]).constant == "y"


def test_equally_common_answers_do_not_depend_on_the_order_of_rows():
    rows = [asked("a?", "x"), asked("a?", "b")]
    assert Priors(rows).constant == Priors(rows[::-1]).constant == "b"


@pytest.fixture
def report():
    """A model that is right about colours, and wrong about numbers."""
    rows = [asked("is it red?", "no", kind="hue", split="dev"), asked("how many?", "2", kind="count", split="dev")] * 20
    return Report(tuple(graded("no", row, number) for number, row in enumerate(rows)))


def test_questions_have_a_constant_and_a_prior_beside_the_model(report):
    found = without_looking(held_out(TRAIN, [one.sample for one in report.graded]), report)
    assert set(found) == {"constant_answer", "question_prior"}
    constant, prior = found["constant_answer"], found["question_prior"]
    assert (constant.how, constant.score, constant.candidates) == ('always answering "2"', 0.5, 5)
    assert constant.ahead.difference == 0
    assert {kind: (float(s), d.difference) for kind, (s, d) in prior.per_kind.items()} == {
        "hue": (0, 1),
        "count": (1, -1),
    }
    values = prior.to_dict()
    assert values["per_kind"]["hue"]["model_above"]["low"] == 1
    assert (values["n"], values["per_kind"]["hue"]["n"]) == (40, 20)


def test_captions_have_the_most_agreed_one(report):
    train = [asked("", "a dog runs", "a dog"), asked("", "a dog runs fast"), asked("", "grass")]
    rows = [asked("", "a dog runs", split="dev"), asked("", "a cat sits", split="dev")]
    found = without_looking(held_out(train, rows), Report((graded("a cat sits", rows[0]), graded("a cat", rows[1]))))
    (one,) = found.values()
    assert one.how == 'always saying "grass"' or "dog" in one.how
    said = one.how.split('"')[1]
    assert one.score == cider([said] * 2, [row.turns[0].answers for row in rows])
    assert one.candidates == 4
    assert one.ahead.difference == pytest.approx(
        cider(["a cat sits", "a cat"], [row.turns[0].answers for row in rows]) - one.score
    )


def test_nothing_is_learned_without_a_training_split(report):
    rows = [one.sample for one in report.graded]
    known = held_out(TRAIN, rows)
    assert without_looking(dataclasses.replace(known, split="train"), report) == {}
    assert without_looking(HeldOut(Scenes(), "dev", rows), report) == {}
    assert without_looking(held_out([], rows), report) == {}
    assert without_looking(held_out([asked("", "a caption")], rows), report) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [("right", "the model is ahead of"), ("2", "the model is not told apart from"), ("x", "the model is behind")],
)
def test_verdict_is_against_the_best(report, given, said):
    changed = tuple(
        graded(one.turn.answers[0] if given == "right" else given, one.sample, one.number) for one in report.graded
    )
    report = Report(changed)
    values = {
        name: one.to_dict()
        for name, one in without_looking(held_out(TRAIN, [one.sample for one in report.graded]), report).items()
    }
    (verdict,) = verdicts(values)
    assert said in verdict
    table = without_looking_table(values).splitlines()
    assert table[-1] == verdict
    assert table[1].startswith('always answering "2"')
    assert all(len(line) <= 120 for line in table)
    assert verdict in without_looking_html(values)


def test_page_shows_texts_as_text(report):
    values = {"a": {"how": "<i>", "metric": "m", "score": 0.5, "low": 0, "high": 1,
              "model_above": {"difference": 0.1, "low": 0, "high": 1, "p": 0.5}}}  # fmt: skip
    assert "<i>" not in without_looking_html(values)


def test_boxes_are_no_answers_in_words(report):
    box = "<loc0000><loc0000><loc0500><loc0500> cat"
    assert not Priors([asked("detect cat", box)])
    row = asked("detect cat", box, split="dev")
    assert without_looking(held_out(TRAIN, [row]), Report((graded(box, row),))) == {}
