import pytest

from ojito.evaluate import Graded, Report
from ojito.evaluate.chance import kinds_at_chance, most_often_right
from ojito.records import Sample, Turn


def asked(right, n=40, kind="colour", answers=("a", "b", "c", "d"), score=None, image=True):
    """Questions of which so many are right; their answers come in turn."""
    return tuple(
        Graded(
            Sample([b""] if image else [], turns=(Turn("q", (answers[i % len(answers)],), kind),)),
            "x",
            i < right,
            None if score is None else score + 0.01 * (i % 3),
        )
        for i in range(n)
    )


def said(report):
    return [one.said for one in kinds_at_chance(report)]


def test_score_that_is_above_everything_without_looking_is_not_called_out():
    assert said(Report(asked(30), asked(10), asked(12))) == []


def test_score_that_a_blank_or_another_image_reaches_is_called_out():
    assert said(Report(asked(30), asked(28), asked(12))) == ["colour: 75%, no better than 70% for a blank image"]
    assert said(Report(asked(30), asked(2), asked(30))) == [
        "colour: 75%, no better than 75% for the image of another row"
    ]


def test_score_that_one_answer_reaches_is_called_out_without_controls():
    report = Report(asked(20, answers=("Yes", "yes.", "no")))
    assert said(report) == ['colour: 50%, no better than 68% for always answering "Yes"']


def test_difference_within_noise_is_none():
    assert said(Report(asked(14, 40), asked(10, 40)))
    assert not said(Report(asked(140, 400), asked(100, 400)))


def test_captions_are_compared_by_their_overlap():
    captions = asked(0, kind="caption", score=0.4)
    assert said(Report(captions, asked(0, kind="caption", score=0.1))) == []
    (found,) = said(Report(captions, exchanged=asked(0, kind="caption", score=0.4)))
    assert found == "caption: 0.410, no better than 0.410 for the image of another row"
    assert said(Report(captions)) == []  # there is nothing to compare with


def test_each_kind_is_judged_by_itself():
    report = Report((*asked(30, kind="colour"), *asked(10, kind="shape")))
    assert [one.kind for one in kinds_at_chance(report)] == ["shape"]


@pytest.mark.parametrize("options", [{"n": 19}, {"image": False}])
def test_few_questions_and_questions_without_an_image_are_not_judged(options):
    assert said(Report(asked(0, **options))) == []


def test_answer_that_is_right_most_often_may_be_one_of_several():
    graded = [Graded(Sample(turns=(Turn("q", answers),)), "", False) for answers in (("a", "B"), ("b.",), ("c",))]
    assert most_often_right(graded) == ("B", [1.0, 1.0, 0.0])
