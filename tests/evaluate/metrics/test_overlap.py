import dataclasses
import random

import numpy as np
import pytest

from ojito.evaluate import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluate.metrics import overlap as overlaps
from ojito.evaluate.metrics.overlap import best_constant, mean_overlaps
from ojito.records import Sample, Turn

# Of ten images, two show a ball: from one of those alone, balls seem to be everywhere.
BALLS_AND_DOGS = [["a red ball"]] * 2 + [["a dog"]] * 8


def described(*references):
    return [Sample(turns=(Turn("", given if isinstance(given, tuple) else (given,)),)) for given in references]


def test_overlap_of_the_documented_example():
    score = overlap("a red ball on grass", ["a ball on grass"])
    assert score == pytest.approx((8 / 9 + 4 / 7) / 2)
    assert round(score, 2) == 0.73
    assert "(8/9 + 4/7) / 2 = 0.73" in overlaps.__doc__


@pytest.mark.parametrize(
    ("caption", "reference", "expected"),
    [
        ("A dog.", "a dog", 1),
        ("dog", "dog", 1),  # no pairs on either side
        ("a cat", "the dog", 0),
        ("dog", "dog runs", (2 / 3 + 0) / 2),
        ("man bites dog", "dog bites man", (1 + 0) / 2),
        ("ball ball ball", "ball", (2 / 4 + 0) / 2),  # a repeated word counts as often as both have it
        ("ball ball ball", "ball ball", (4 / 5 + 2 / 3) / 2),
        ("", "a dog", 0),
        ("a dog", "", 0),
        ("", "", 0),
        ("\U0001f534", "\U0001f534", 1),
        ("一只红色的球", "一个红色的球", (10 / 12 + 6 / 10) / 2),  # a character is a word
        ("赤いボール", "赤いボールです", (10 / 12 + 8 / 10) / 2),
        ("?", "?", 1),
        ("?", "!", 0),
    ],
)
def test_overlap_is_the_mean_f1_of_words_and_pairs(caption, reference, expected):
    assert overlap(caption, [reference]) == pytest.approx(expected)
    assert overlap(reference, [caption]) == pytest.approx(expected)


def test_overlap_is_that_with_the_nearest_reference():
    references = ["a cat", "a brown dog", "two dogs"]
    assert overlap("a brown dog", references) == 1
    assert overlap("a dog", iter(references)) == max(overlap("a dog", [reference]) for reference in references)


def test_caption_without_references_is_an_error():
    with pytest.raises(ValueError, match="references: the caption 'a dog' has none to compare with; give at least one"):
        overlap("a dog", [])


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (Turn(), True),
        (Turn("describe it", kind="caption"), True),
        (Turn("what is it?"), False),
        (Turn("what is it?", kind="colour"), False),
    ],
)
def test_caption_is_asked_for_by_its_kind_or_by_no_question(turn, expected):
    assert is_caption(turn) is expected


# ---------------------------------------------------------------------------------------------------- without looking


def test_mean_overlaps_equal_overlap_one_by_one():
    rng = random.Random(0)

    def text():
        return " ".join(rng.choices(["a", "red", "ball", "dog", "on", "grass"], k=rng.choice([0, 1, 1, 2, 5, 9])))

    candidates = [text() for _ in range(40)] + ["words of no reference"]
    references = [[text() for _ in range(rng.randint(1, 4))] for _ in range(30)]
    expected = [np.mean([overlap(caption, group) for group in references]) for caption in candidates]
    assert len(set(expected)) > 20
    np.testing.assert_allclose(mean_overlaps(candidates, references), expected)


def test_best_constant_describes_all_images_best():
    references = [["a red ball", "a ball"], ["a blue ball"], ["a dog"]]
    means = {caption: mean_overlaps([caption], references)[0] for group in references for caption in group}
    assert best_constant(references) == max(means, key=means.get) == "a ball"


def test_best_constant_does_not_depend_on_the_order_of_the_images():
    assert best_constant([["b"], ["a"], ["c"]]) == best_constant([["c"], ["b"], ["a"]]) == "a"


def test_second_round_compares_the_finalists_on_all_images():
    for seed in range(10):
        assert best_constant(BALLS_AND_DOGS, seed, images=1, finalists=2) == "a dog"


def test_first_round_lets_only_the_finalists_on():
    found = [best_constant(BALLS_AND_DOGS, seed, images=1, finalists=1) for seed in range(30)]
    assert set(found) == {"a dog", "a red ball"}  # by the image that the seed draws
    assert found == [best_constant(BALLS_AND_DOGS, seed, images=1, finalists=1) for seed in range(30)]


def test_no_first_round_where_the_images_are_few():
    for seed in range(10):
        assert best_constant(BALLS_AND_DOGS, seed, images=11, finalists=1) == "a dog"


def test_baselines_are_chosen_on_training_and_scored_on_held_out():
    train, held_out = described("a dog", "a dog", "a dog"), described(("a cat", "one cat"), "a dog runs")
    expected = (overlap("a dog", ["a cat"]) + overlap("a dog", ["a dog runs"])) / 2
    found = caption_baselines(iter(train), iter(held_out))
    assert found == Baselines("a dog", pytest.approx(expected), pytest.approx(expected), n=2)


def test_random_captions_come_as_often_as_training_has_them():
    found = caption_baselines(described(*["dog"] * 3, "cat"), described("dog"), draws=2000)
    assert found.constant_overlap == 1
    assert found.random_overlap == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("change", [{"seed": 1}, {"draws": 6}], ids=str)
def test_option_changes_the_random_captions_alone(change):
    train, held_out = described("a dog", "a cat", "a red ball", "grass"), described("a dog", "a ball", "red grass")
    plain, changed = caption_baselines(train, held_out), caption_baselines(train, held_out, **change)
    assert plain == caption_baselines(train, held_out)
    assert changed.random_overlap != plain.random_overlap
    assert dataclasses.replace(changed, random_overlap=plain.random_overlap) == plain


def test_seed_reaches_the_choice_of_the_constant(monkeypatch):
    monkeypatch.setattr(overlaps, "best_constant", lambda references, seed: f"{len(references)} images, seed {seed}")
    train = described("a dog", "a cat")
    assert caption_baselines(train, train, seed=7).constant == "2 images, seed 7"


def test_only_captions_with_references_count():
    turns = (Turn("what?", ("grass",)), Turn("", ("a dog",)), Turn("describe it", ("a dog",), "caption"), Turn(""))
    found = caption_baselines([Sample(turns=turns)], [Sample(turns=turns)])
    assert found == Baselines("a dog", 1.0, 1.0, n=2)


@pytest.mark.parametrize(
    ("train", "held_out", "name"),
    [([], described("a dog"), "train"), (described("a dog"), [Sample(turns=(Turn("what?", ("x",)),))], "held_out")],
)
def test_baselines_without_captions_are_an_error(train, held_out, name):
    with pytest.raises(ValueError, match=f"{name}: holds no captions, and the baselines need 1 or more"):
        caption_baselines(train, held_out)


def test_words_are_those_of_canonically_equal_text():
    assert overlap("a caf\u00e9, don\u2019t", ["a cafe\u0301 don't"]) == 1


def test_no_draws_are_an_error():
    rows = [Sample(turns=(Turn("", ("a ball",)),))]
    with pytest.raises(ValueError, match="draws: 0 leaves nothing"):
        caption_baselines(rows, rows, draws=0)
