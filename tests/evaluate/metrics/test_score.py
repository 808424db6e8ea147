"""What scores of captions are made of, their intervals, and the comparison of two."""

import numpy as np
import pytest

from ojito.errors import OjitoError
from ojito.evaluate.captions import Score, bleu, cider, compare, rouge_l
from ojito.evaluate.metrics.score import ratio

GROUPS = [["a red dog", "the dog runs"], ["two cats sit", "cats on a mat"], ["a man", "one man walks away"]]


@pytest.mark.parametrize("metric", [cider, rouge_l, bleu])
def test_a_better_caption_scores_more(metric):
    good, bad = ["the dog runs", "two cats sit", "one man walks away"], ["a car", "a car", "a car"]
    assert metric(good, GROUPS) > metric([good[0], *bad[1:]], GROUPS) > metric(bad, GROUPS)


def test_repeated_words_gain_in_the_original_variant_alone():
    once, often = ["cats", "dog", "man"], ["cats cats cats", "dog dog dog", "man man man"]
    groups = [["cats sit", "the cats"], ["dog runs"], ["man walks"]]
    assert cider(often, groups, "original") >= cider(once, groups, "original")
    assert cider(often, groups) < cider(once, groups)


@pytest.mark.parametrize("n", [0, 5])
def test_bleu_of_other_runs_is_refused(n):
    with pytest.raises(OjitoError, match=f"{n} is not between 1 and 4"):
        bleu(["a"], [["a"]], n)


@pytest.mark.parametrize(
    ("hypotheses", "references", "said"),
    [
        (["a"], [["a"], ["b"]], "2 groups for 1 answers"),
        (["a", "b"], [["a"], []], "answer 1 has none"),
        ("a", [["a"]], "give a list for each question"),
        (["a"], ["a"], "give a list for each question"),
        ([], [], "nothing to score"),
    ],
)
@pytest.mark.parametrize("metric", [cider, rouge_l, bleu])
def test_references_that_do_not_fit_are_refused(metric, hypotheses, references, said):
    with pytest.raises(OjitoError, match=said):
        metric(hypotheses, references)


def test_interval_holds_the_score_and_narrows_with_more_samples():
    draw = np.random.default_rng(0)
    few, many = (Score.mean(draw.random(n) < 0.3) for n in (50, 5000))
    widths = []
    for score in (few, many):
        low, high = score.interval()
        assert low < score < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5
    assert widths[1] == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 5000) ** 0.5, rel=0.1)
    assert few.interval(0.5)[0] > few.interval(0.95)[0]
    assert many.interval(seed=1) != many.interval()
    assert many.interval(draws=10) != many.interval()


def test_interval_of_a_score_of_all_together_is_not_that_of_a_mean():
    counts = np.array([[1, 2], [30, 40], [5, 100]] * 20)
    low, high = Score(counts, ratio).interval()
    assert low < 36 / 142 < high
    assert Score(counts, ratio) == pytest.approx(36 / 142)


def test_runs_that_differ_are_told_from_those_that_do_not():
    draw = np.random.default_rng(0)
    one = draw.random(400) < 0.5
    better, same = one | (draw.random(400) < 0.2), draw.permutation(one)
    found = compare(Score.mean(better), Score.mean(one))
    assert found.p < 0.01
    assert 0 < found.low < found.difference < found.high
    assert compare(Score.mean(one), Score.mean(one)).p == 1
    found = compare(Score.mean(same), Score.mean(one))
    assert found.p > 0.05
    assert found.low < 0 < found.high


def test_test_of_two_runs_gives_a_false_alarm_as_often_as_it_says():
    draw = np.random.default_rng(1)
    alarms = [
        compare(Score.mean(draw.random(60) < 0.4), Score.mean(draw.random(60) < 0.4), 300, seed).p < 0.1
        for seed in range(200)
    ]
    assert 0.04 < np.mean(alarms) < 0.17


def test_comparison_of_other_samples_is_refused():
    with pytest.raises(OjitoError, match="2 samples beside 3"):
        compare(Score.mean([0, 1]), Score.mean([0, 1, 1]))


def test_values_for_json_are_the_score_and_its_interval():
    score = Score.mean([0.0, 1.0] * 10)
    low, high = score.interval()
    assert score.to_dict() == {"score": 0.5, "low": low, "high": high, "n": 20}
    found = compare(score, Score.mean([0.0] * 20)).to_dict()
    assert set(found) == {"difference", "low", "high", "p"}
    assert found["difference"] == 0.5


def test_ranked_score_is_given_how_often_each_sample_is_there():
    values = np.array([1.0, 2.0, 9.0])

    def best(times):
        return np.where(times > 0, values, 0).max(axis=1)

    score = Score.ranked(3, best)
    assert score == 9
    assert score.each.tolist() == [1, 2, 9]
    assert score.drawn(np.array([[2, 1, 0], [0, 0, 3]])).tolist() == [2, 9]
    assert score.interval() == (1, 9)
    found = compare(score, Score.ranked(3, lambda times: best(times) + 1))
    assert (found.difference, found.low, found.high) == (-1, -1, -1)
    assert found.p < 0.001
    with pytest.raises(OjitoError, match="compare runs on the same samples"):
        compare(score, Score(np.ones((3, 1)), lambda sums: sums[:, 0]))
