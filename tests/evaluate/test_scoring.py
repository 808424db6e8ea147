"""Which scores an evaluation has, their intervals, and the grounding gap."""

import pytest

from ojito.errors import OjitoError
from ojito.evaluate import Graded, Report
from ojito.evaluate.captions import cider
from ojito.evaluate.scoring import METRICS, check_metrics, grounding_gap, score_answers, scores_table, scores_to_dict
from ojito.records import Sample, Turn


def graded(given, *answers, prompt="what?", number=0, kind=""):
    turn = Turn(prompt, answers, kind)
    return Graded(Sample(turns=(turn,)), given, given in answers, number=number)


def test_usual_scores_are_those_that_fit_the_questions():
    question, caption = graded("a", "a"), graded("a dog", "a dog runs", prompt="")
    many, yes = graded("a", *["a"] * 9, "b"), graded("Yes.", "yes")
    assert set(score_answers([question])) == {"exact_match"}
    assert set(score_answers([caption])) == {"cider", "bleu_4", "rouge_l", "overlap"}
    assert set(score_answers([graded("a dog", "a dog", kind="caption", prompt="say")])) == set(score_answers([caption]))
    assert set(score_answers([many])) == {"exact_match", "vqa_accuracy"}
    assert set(score_answers([yes])) == {"exact_match", "pope_f1", "yes_rate"}
    assert len(score_answers([question, caption, many])["exact_match"].counts) == 2


def test_rows_with_boxes_are_scored_as_boxes():
    cat, near = "<loc0000><loc0000><loc0500><loc0500> cat", "<loc0000><loc0000><loc0500><loc0300> cat"
    rows = [graded(cat, cat, prompt="detect cat"), graded(near, cat, prompt="detect cat"), graded("a", "a")]
    found = score_answers(rows)
    assert set(found) == {"exact_match", "mean_iou", "ap_50"}
    assert (found["mean_iou"], len(found["mean_iou"].counts)) == (pytest.approx(0.8, abs=0.01), 2)
    assert found["ap_50"] == pytest.approx(1, abs=0.01)
    assert score_answers([graded("no box", cat, prompt="detect cat")])["mean_iou"] == 0


def test_choices_are_right_by_letter_or_text():
    turn = Turn("which?\nA. dog\nB. cat", ("B",), choices=("dog", "cat"))
    rows = [Graded(Sample(turns=(turn,)), given, False) for given in ("B", "cat", "(b)", "A", "dog", "cow")]
    found = score_answers(rows)
    assert set(found) == {"choice"}
    assert found["choice"] == 0.5
    assert score_answers(rows, ["exact_match"])["exact_match"] == 0.5


def test_scores_that_need_the_model_are_refused_without_it():
    with pytest.raises(OjitoError, match="'perplexity' needs the model, and here are answers alone; use `ojito eval`"):
        score_answers([graded("a", "a")], ["perplexity"])
    check_metrics(["perplexity", "anls"], passes=True)
    with pytest.raises(OjitoError, match=r"did you mean perplexity\?"):
        check_metrics(["perplexty"], passes=True)


@pytest.mark.parametrize("name", METRICS)
def test_named_scores_are_of_all_questions(name):
    rows = [graded("yes", "yes"), graded("no dog", "a dog", prompt="")]
    found = score_answers(rows, [name])
    assert set(found) == {name}
    assert len(found[name].counts) == 2


def test_values_are_those_of_the_metric():
    rows = [graded(given, "a dog runs", prompt="") for given in ("a dog", "a cat")] + [graded("x", "b c", prompt="")]
    expected = cider([one.given for one in rows], [one.turn.answers for one in rows])
    assert score_answers(rows)["cider"] == expected > 0


def test_unknown_metric_is_refused_with_the_nearest():
    with pytest.raises(OjitoError, match=r"'cidre' is not one of .* did you mean cider\?"):
        score_answers([graded("a", "a")], ["cidre"])


@pytest.fixture
def report():
    """A model that is right with the image, and always says "red" without."""
    colours = ["red", "blue", "green", "red", "blue"] * 8
    seen = tuple(graded(c, c, number=n, kind="colour" if n % 2 else "shade") for n, c in enumerate(colours))
    blind = tuple(graded("red", c, number=n, kind="colour" if n % 2 else "shade") for n, c in enumerate(colours))
    return Report(seen, blank=blind[:30])


def test_gap_is_of_the_questions_that_the_control_was_asked_too(report):
    gap = grounding_gap(report, "blank")["exact_match"]
    assert gap.difference == pytest.approx(0.6)
    assert 0.4 < gap.low < 0.6 < gap.high < 0.8
    assert gap.p < 0.01
    assert grounding_gap(report.of_kind("colour"), "blank")["exact_match"].difference == pytest.approx(9 / 15)
    assert grounding_gap(report, "exchanged") == {}


def test_scores_are_told_with_intervals_and_gaps(report):
    values = scores_to_dict(report)
    assert values["exact_match"]["score"] == 1
    assert values["exact_match"]["n"] == 40
    assert values["exact_match"]["above_blank"]["difference"] == pytest.approx(0.6)
    assert "above_exchanged" not in values["exact_match"]
    said = scores_table(values).splitlines()
    assert said[0].split() == ["score", "95%", "interval", "above", "blank"]
    assert said[1].startswith("exact_match    1.000  1.000 to 1.000")
    assert "+0.600 (+0.4" in said[1]


def test_a_liking_for_yes_has_no_gap():
    rows = tuple(graded("yes", "yes", number=n) for n in range(3))
    assert "above_blank" not in scores_to_dict(Report(rows, blank=rows))["yes_rate"]
    assert "above_blank" in scores_to_dict(Report(rows, blank=rows))["pope_f1"]
