"""The caption that agrees most with all others."""

import random

import numpy as np
import pytest

from ojito.errors import OjitoError
from ojito.evaluate.metrics.cider import cider
from ojito.evaluate.metrics.consensus import agreement, most_agreed


@pytest.fixture
def references():
    rng = random.Random(0)
    words = ["a", "dog", "runs", "on", "grass", "the", "red", "ball"]

    def text():
        return " ".join(rng.choices(words, k=rng.choice([0, 1, 2, 5, 8, 14])))

    return [[text() for _ in range(rng.randint(1, 4))] for _ in range(25)]


def test_agreement_is_the_cider_of_each_caption_given_for_all_images(references):
    references.append(["a dog and a dog and a dog", "words of no other", "a a a a", ""])
    every = [caption for group in references for caption in group]
    expected = [cider([caption] * len(references), references) for caption in every]
    assert len(set(expected)) > 20
    np.testing.assert_allclose(agreement(references), expected, atol=1e-12)


def test_most_agreed_is_the_reference_with_the_highest_cider(references):
    every = {caption for group in references for caption in group}
    scores = {caption: float(cider([caption] * len(references), references)) for caption in every}
    found = most_agreed([*references])
    assert found.cider == pytest.approx(max(scores.values()))
    assert scores[found.caption] == pytest.approx(found.cider)
    assert found.candidates == len(every)


def test_images_without_captions_are_left_out(references):
    assert most_agreed([[], *references]) == most_agreed(references)
    with pytest.raises(OjitoError, match="references: hold no caption, and 1 or more are needed; leave"):
        most_agreed([[]])
