"""Scores of boxes and masks."""

import numpy as np
import pytest

from ojito.errors import OjitoError
from ojito.evaluate.metrics.boxes import average_precision, box_iou, located, mask_iou
from ojito.locate.boxes import Box

CAT, DOG = Box(0, 0, 10, 10, "cat"), Box(0, 0, 10, 10, "dog")


def beside(box, left):
    return Box(box.top, box.left + left, box.bottom, box.right + left, box.label)


def test_iou_is_the_shared_area_over_both():
    assert box_iou(CAT, CAT) == 1
    assert box_iou(CAT, beside(CAT, 5)) == pytest.approx(1 / 3)
    assert box_iou(CAT, beside(CAT, 10)) == 0
    assert box_iou(CAT, Box(20, 20, 30, 30)) == 0


def test_masks_share_pixels():
    one, other = np.zeros((2, 2), bool), np.zeros((2, 2), bool)
    one[0], other[:, 0] = True, True
    assert mask_iou([one], [other]) == pytest.approx(1 / 3)
    assert mask_iou([np.zeros((2, 2), bool)] * 2, [np.zeros((2, 2), bool), one]) == 0.5
    with pytest.raises(OjitoError, match="mask 0: is"):
        mask_iou([one], [np.zeros((3, 2), bool)])


def test_located_needs_half_of_the_area():
    assert located([CAT, beside(CAT, 5), None], [CAT] * 3) == pytest.approx(1 / 3)
    assert located([beside(CAT, 5)], [CAT], threshold=0.3) == 1


def test_average_precision_of_all_and_of_nothing():
    assert average_precision([[CAT], [DOG]], [[CAT], [DOG]]) == 1
    assert average_precision([[], []], [[CAT], [DOG]]) == 0
    assert average_precision([[DOG]], [[CAT]]) == 0  # another label


def test_wrong_box_before_a_right_one_costs_precision():
    wrong = Box(50, 50, 60, 60, "cat")
    assert average_precision([[CAT, wrong]], [[CAT]]) == 1
    assert average_precision([[wrong, CAT]], [[CAT]]) == pytest.approx(0.5)
    assert average_precision([[wrong, CAT]], [[CAT]], [[0.1, 0.9]]) == 1


def test_a_thing_is_found_once():
    assert average_precision([[CAT, CAT]], [[CAT, beside(CAT, 40)]]) == pytest.approx(51 / 101)


def test_threshold_of_average_precision_counts():
    assert average_precision([[beside(CAT, 5)]], [[CAT]]) == 0
    assert average_precision([[beside(CAT, 5)]], [[CAT]], threshold=0.3) == 1


def test_interval_of_average_precision_draws_images():
    score = average_precision([[CAT], [], [CAT]] * 4, [[CAT]] * 12)
    low, high = score.interval(draws=50)
    assert low < score < high
