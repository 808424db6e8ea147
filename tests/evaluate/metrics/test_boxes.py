"""Scores of boxes and masks."""

import numpy as np
import pytest

from ojito.errors import OjitoError
from ojito.evaluate.metrics.boxes import (
    average_precision,
    box_iou,
    boxes_in,
    expects_boxes,
    located,
    mask_iou,
    mean_iou,
)
from ojito.evaluate.metrics.score import compare
from ojito.locate.boxes import Box, parse
from ojito.records import Turn

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


def test_drawn_sets_are_scored_as_if_the_images_were_there_so_often():
    rng = np.random.default_rng(0)

    def boxes(count):
        corners = rng.integers(0, 6, (count, 2))
        return [Box(top, left, top + 8, left + 8, rng.choice(["cat", "dog", "kite"])) for top, left in corners]

    predicted, references = ([boxes(rng.integers(0, 5)) for _ in range(12)] for _ in range(2))
    confidences = [rng.random(len(group)).tolist() for group in predicted]
    for sure in (None, confidences):
        score = average_precision(predicted, references, sure)
        times = rng.multinomial(12, [1 / 12] * 12, size=6)
        for drawn, found in zip(times, score.drawn(times), strict=True):
            chosen = np.repeat(np.arange(12), drawn)
            again = [[group[at] for at in chosen] for group in (predicted, references)]
            expected = average_precision(*again, None if sure is None else [sure[at] for at in chosen])
            assert found == pytest.approx(float(expected))
    assert len(score.each) == 12


def test_runs_of_average_precision_are_compared():
    good, bad, wanted = [[CAT]] * 30, [[CAT]] * 10 + [[beside(CAT, 20)]] * 20, [[CAT]] * 30
    found = compare(average_precision(good, wanted), average_precision(bad, wanted))
    assert found.difference > 0.5
    assert found.low > 0
    assert found.p < 0.01
    same = compare(average_precision(bad, wanted), average_precision(bad, wanted))
    assert (same.difference, same.p) == (0, 1)


def test_mean_iou_is_of_the_right_boxes():
    assert mean_iou([[CAT]], [[CAT]]) == 1
    assert mean_iou([[beside(CAT, 5)]], [[CAT]]) == pytest.approx(1 / 3)
    assert mean_iou([[DOG]], [[CAT]]) == 0
    assert mean_iou([[CAT, DOG, beside(CAT, 30)]], [[CAT]]) == 1
    assert mean_iou([[CAT]], [[CAT, beside(CAT, 30)]]) == 0.5
    assert mean_iou([[beside(CAT, 5), CAT]], [[CAT, beside(CAT, 40)]]) == 0.5  # the nearest box is taken, once
    with pytest.raises(OjitoError, match="1 images for 2; give one list for each image"):
        mean_iou([[], []], [[]])


def test_boxes_of_a_text_share_as_much_in_any_image():
    texts = "<loc0000><loc0000><loc0500><loc0500> cat", "<loc0100><loc0100><loc0500><loc0600> cat"
    (one,), (other,) = map(boxes_in, texts)
    (wide,), (tall,) = (parse(text, 640, 480) for text in texts)
    assert box_iou(one, other) == pytest.approx(box_iou(wide, tall))
    assert boxes_in("a cat") == []
    assert expects_boxes(Turn("detect cat", texts))
    assert not expects_boxes(Turn("what?", ("a cat",)))
