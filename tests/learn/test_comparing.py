"""How a wrong result is described."""

from dataclasses import dataclass

import pytest
import torch

from ojito.learn.comparing import difference, ratio

RIGHT = torch.arange(1.0, 13).view(3, 4)


def told(got, expected=RIGHT, tolerance=1e-5):
    return difference(got, expected, tolerance)


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (RIGHT.clone(), ""),
        (RIGHT + 1e-7, ""),
        (None, "the result is None: is a `return` missing?"),
        (..., "the result is `...`: a gap is still open"),
        ([1], "the result is a list, not a tensor of shape (3, 4)"),
        (RIGHT.T, "the result has shape (4, 3), not (3, 4): the same sizes in another order"),
        (RIGHT[:, :3], "the result has shape (3, 3), not (3, 4): axis 1 is 3, not 4"),
        (RIGHT[None], "the result has shape (1, 3, 4), not (3, 4): 3 axes, not 2"),
        (RIGHT.double(), "the result has dtype float64, not float32"),
        (4 * RIGHT, "the result is 4x too large everywhere"),
        (RIGHT / 4, "the result is 4x too small everywhere"),
        (-RIGHT, "the result has the wrong sign everywhere"),
        (RIGHT + 0.5, "the result is off by +0.5 everywhere"),
        (RIGHT.roll(1, 1), "the result has the right numbers, shifted by +1 along axis 1 of (3, 4)"),
        (RIGHT.flip(0), "the result has the right numbers, in reverse along axis 0 of (3, 4)"),
        (RIGHT.T.reshape(3, 4), "the result has the right numbers in the wrong places"),
    ],
)
def test_tensor_is_told_apart(got, says):
    assert told(got) == says


def test_rounding_is_told_apart_from_a_factor_of_one():
    expected = torch.linspace(0.1, 3, 12).view(3, 4)
    said = told(expected.to(torch.bfloat16).float(), expected)
    assert said.startswith("the result is nearly right, but off by up to 0.0")
    assert said.endswith("is something rounded, to bfloat16 or float16, or is a formula only nearly the same?")
    assert "off by up to 0.0003" in told(1.0001 * expected, expected)
    assert told(1.01 * expected, expected) == "the result is 1.01x too large everywhere"


def test_places_are_told_with_the_rows_that_are_right():
    got = RIGHT.clone()
    got[2, 1] = 0
    assert told(got) == (
        "the result is wrong in 1 of 12 places, by 10 at the most: at [2, 1] it is 0, not 10. "
        "Along axis 0, 0 to 1 of 0 to 2 would be right"
    )


def test_nan_is_told_first():
    got = RIGHT.clone()
    got[0] = float("nan")
    assert told(got) == (
        "the result is not a number (NaN) in 4 of 12 places: "
        "is something divided by a sum that is 0, or does a softmax get a row of nothing but -inf?"
    )


def test_whole_numbers_and_truth_values_are_compared_exactly():
    assert told(torch.tensor([1, 2]), torch.tensor([1, 3])) == (
        "the result is wrong in 1 of 2 places: at [1] it is 2, not 3"
    )
    assert (
        told(torch.tensor([True]), torch.tensor([False]))
        == "the result is wrong everywhere: at [0] it is True, not False"
    )


@dataclass
class Pair:
    left: int
    right: str


@pytest.mark.parametrize(
    ("got", "expected", "says"),
    [
        ([1, 2], [1, 2], ""),
        ((1, 2), [1, 2], ""),
        ([1, 2, 3], [1, 2], "the result has 3 entries, not 2: [1, 2, 3], not [1, 2]"),
        ([1, 4], [1, 2], "the result[1] is 4, not 2"),
        ({"a": 1}, {"a": 1, "b": 2}, "the result lacks ['b']"),
        ({"a": 1, "c": 2}, {"a": 1}, "the result has ['c'], which do not belong there"),
        ({"a": 3}, {"a": 1}, "the result['a'] is 3, not 1"),
        (Pair(1, "x"), Pair(1, "y"), "the result's right is 'x', not 'y'"),
        (4.0, 2.0, "the result is 4, not 2: 2x of it"),
        (2.0, 2, "the result is 2.0, a float: return the whole number 2"),
        (1.5, 2, "the result is 1.5, not 2: 0.75x of it"),
        (ValueError("x"), "y", "the result is a ValueError: an error is raised, not returned"),
        (5216257, 5216256, "the result is 5216257, not 5216256"),
        (torch.tensor(2.0), 2.0, ""),
        ("kite", "kites", "the result is 'kite', not 'kites'"),
        (1, True, "the result is an int, not a bool"),
    ],
)
def test_other_values_are_told_apart(got, expected, says):
    assert difference(got, expected, 1e-5) == says


def test_tolerance_changes_what_is_right():
    assert told(RIGHT + 1e-3)
    assert not told(RIGHT + 1e-3, tolerance=1e-2)


def test_ratio_is_of_all_numbers_or_none():
    assert ratio(4 * RIGHT, RIGHT) == pytest.approx(4)
    assert ratio(RIGHT + 1, RIGHT) is None
    assert ratio(3.0, 1.5) == 2
    assert ratio(torch.ones(2), torch.ones(3)) is None
