import random

import numpy as np
import pytest
from PIL import Image

from ojito.locate.boxes import Box, fit_mask, parse, write_boxes

CAT = "<loc0010><loc0020><loc0500><loc0600> cat"
CODES = tuple(range(0, 128, 8))
SEGMENTS = "".join(f"<seg{code:03d}>" for code in CODES)


def sides(box):
    return box.top, box.left, box.bottom, box.right


# -------------------------------------------------------------------------------------------------------------- reading


def test_locations_are_1023rds_of_height_and_width_with_the_top_first():
    (box,) = parse("<loc0000><loc0341><loc1023><loc0682> cat", 300, 90)
    assert sides(box) == pytest.approx((0, 100, 90, 200))
    assert (box.label, box.codes, box.mask) == ("cat", (), None)


def test_edges_of_the_picture_are_exact():
    assert sides(parse("<loc0000><loc0000><loc1023><loc1023>", 4321, 1234)[0]) == (0, 0, 1234, 4321)


def test_several_things_are_read_in_their_order():
    text = f"{CAT} ; <loc0000><loc0000><loc0001><loc0001> big  dog;{CAT}"
    assert [box.label for box in parse(text, 10, 10)] == ["cat", "big dog", "cat"]


def test_sixteen_codes_are_a_mask():
    (box,) = parse(f"<loc0010><loc0020><loc0500><loc0600>{SEGMENTS} cat", 10, 10)
    assert (box.label, box.codes) == ("cat", CODES)


def test_box_may_have_no_label():
    assert [box.label for box in parse("<loc0010><loc0020><loc0500><loc0600> ;" + CAT, 10, 10)] == ["", "cat"]


def test_spaces_between_marks_change_nothing():
    spaced = f"{CAT[:-4]}{SEGMENTS}".replace("><", "> <") + " cat"
    assert parse(spaced, 10, 10) == parse(f"{CAT[:-4]}{SEGMENTS} cat", 10, 10)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "cat",
        "<loc0010><loc0020><loc0500> cat",
        "<loc0010><loc0020><loc0500><loc0600><loc0700> cat",
        "<loc0010><loc0020>and<loc0500><loc0600> cat",
        "<loc0010><loc0020><loc0500><loc1024> cat",
        "<loc0010><loc0020><loc0500><loc9999> cat",
        "<loc0010><loc0020><loc0500><loc600> cat",
        "<loc0010><loc0020><loc0500><loc00600> cat",
        "<loc0010><loc0020><loc0500><loc-600> cat",
        "<loc0010><loc0020><loc0500><loc٠٦٠٠> cat",
        "<loc0500><loc0020><loc0010><loc0600> cat",
        "<loc0010><loc0600><loc0500><loc0020> cat",
        "<loc0010><loc0020><loc0010><loc0600> cat",
        "<loc0010><loc0020><loc0500><loc0020> cat",
        f"{SEGMENTS} cat",
    ],
)
def test_broken_entry_is_left_out_and_the_others_stay(broken):
    assert parse(broken, 10, 10) == []
    assert parse(f"{CAT} ; {broken} ; {CAT}", 10, 10) == parse(f"{CAT} ; {CAT}", 10, 10)


@pytest.mark.parametrize("codes", [SEGMENTS[8:], SEGMENTS + "<seg001>", "<seg128>" * 16, "<seg001>" * 8 + "x<seg001>"])
def test_box_with_broken_codes_keeps_its_place_and_loses_its_mask(codes):
    (box,) = parse(f"<loc0010><loc0020><loc0500><loc0600>{codes} cat", 10, 10)
    assert (sides(box), box.codes) == (sides(parse(CAT, 10, 10)[0]), ())


def test_nothing_that_a_model_writes_is_an_error():
    rng = random.Random(0)
    marks = ["<loc0001>", "<loc0900>", "<loc1023>", "<loc1024>", "<seg000>", "<seg127>", "<seg128>", "<loc", "<", ">"]
    marks += [" cat", " ; ", ";", "\n", "é", "\0", "\ud800", "0001", SEGMENTS]
    found = 0
    for _ in range(3000):
        boxes = parse("".join(rng.choices(marks, k=rng.randrange(30))), 640, 480)
        found += len(boxes)
        assert all(0 <= b.top < b.bottom <= 480 and 0 <= b.left < b.right <= 640 for b in boxes)
    assert found


def test_long_nonsense_is_read_in_a_moment():
    for text in ("<loc0001>" * 50_000, "<loc0001>" + " " * 200_000, "<loc" * 50_000, f"{CAT}{SEGMENTS}" * 2_000):
        parse(text, 10, 10)


# -------------------------------------------------------------------------------------------------------------- writing


def test_boxes_are_written_as_paligemma_learned_to():
    boxes = [Box(0, 100, 90, 200, "cat"), Box(45, 0, 46, 300, " big\n dog ", CODES), Box(1, 1, 2, 2)]
    assert write_boxes(boxes, 300, 90) == (
        "<loc0000><loc0341><loc1023><loc0682> cat ; "
        f"<loc0512><loc0000><loc0523><loc1023>{SEGMENTS} big dog ; "
        "<loc0011><loc0003><loc0023><loc0007>"
    )


def test_no_boxes_are_no_text():
    assert write_boxes([], 10, 10) == ""
    assert parse("", 10, 10) == []


def test_half_a_location_is_rounded_to_even_as_in_big_vision():
    assert write_boxes([Box(0.5, 1.5, 3.5, 5.5)], 1023, 1023) == "<loc0000><loc0002><loc0004><loc0006>"


def test_edges_beyond_the_picture_become_its_edges():
    assert write_boxes([Box(-3, -0.1, 10.2, 99)], 10, 10) == "<loc0000><loc0000><loc1023><loc1023>"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 3), (640, 480), (4033, 2999)])
def test_every_location_roundtrips(width, height):
    texts = [f"<loc{v:04d}><loc{1022 - v:04d}><loc{v + 1:04d}><loc1023>{SEGMENTS} a {v}" for v in range(1023)]
    text = " ; ".join(texts)
    assert write_boxes(parse(text, width, height), width, height) == text


def test_boxes_of_numpy_numbers_are_written():
    box = Box(*np.array([1, 2, 5, 6], np.float32), "cat")
    assert write_boxes([box], 10, 10) == write_boxes([Box(1, 2, 5, 6, "cat")], 10, 10)


@pytest.mark.parametrize("label", ["cat; dog", "<loc0001>"])
def test_label_that_could_not_be_read_again_is_an_error(label):
    with pytest.raises(ValueError, match="which end a label; leave them out"):
        write_boxes([Box(1, 2, 3, 4, label)], 10, 10)


# ---------------------------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize(
    "edges", [(2, 1, 2, 3), (3, 1, 2, 3), (1, 3, 2, 3), (1, 4, 2, 3), (float("nan"), 1, 2, 3), (1, 1, float("inf"), 3)]
)
def test_box_without_area_is_an_error(edges):
    with pytest.raises(ValueError, match="has no area; give a bottom below the top"):
        Box(*edges)


@pytest.mark.parametrize("codes", [(1,), (0,) * 17, (128,) * 16, (-1,) * 16])
def test_codes_that_are_no_mask_are_an_error(codes):
    with pytest.raises(ValueError, match="give 16 numbers from 0 to 127"):
        Box(1, 1, 2, 2, codes=codes)


def test_boxes_are_equal_whatever_their_masks():
    a, b = Box(1, 1, 2, 2, mask=np.zeros((2, 2), np.bool_)), Box(1, 1, 2, 2, mask=np.ones((3, 3), np.bool_))
    assert a == b
    assert len({a, b}) == 1


# ---------------------------------------------------------------------------------------------------------------- masks


def test_mask_is_above_zero_within_its_box_and_false_outside():
    values = np.full((64, 64), -1.0, np.float32)
    values[:, 32:] = 1.0
    mask = fit_mask(values, Box(10, 20, 30, 60), width=100, height=50)
    expected = np.zeros((50, 100), np.bool_)
    expected[10:30, 40:60] = True
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, expected)


def test_values_of_zero_are_outside():
    assert not fit_mask(np.zeros((64, 64)), Box(0, 0, 9, 9), 9, 9).any()


def test_edges_are_cut_to_whole_pixels():
    mask = fit_mask(np.ones((64, 64)), Box(1.9, 2.9, 4.9, 3.1), 10, 10)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 2, 2)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (200, 150), (10, 130), (1, 1)])
def test_mask_is_resized_between_its_values(width, height):
    """Against a bilinear filter of our own: a triangle over the box's pixels, as wide as one pixel of the coarser."""
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)

    def weights(size):
        scale = 64 / size
        reach = max(scale, 1)
        centres = (np.arange(size) + 0.5) * scale
        made = np.clip(1 - np.abs(np.arange(64) + 0.5 - centres[:, None]) / reach, 0, None)
        return made / made.sum(1, keepdims=True)

    expected = weights(height) @ values @ weights(width).T
    mask = fit_mask(values, Box(0, 0, height, width), width, height)
    sure = np.abs(expected) > 1e-4
    assert sure.mean() > 0.99
    assert np.array_equal(mask[sure], (expected > 0)[sure])


def test_box_thinner_than_a_pixel_has_an_empty_mask():
    mask = fit_mask(np.ones((64, 64)), Box(1.2, 0, 1.8, 9), 10, 10)
    assert mask.shape == (10, 10)
    assert not mask.any()


def test_mask_of_a_box_of_another_picture_is_an_error():
    for box in (Box(0, 0, 11, 5), Box(0, 0, 5, 11), Box(-2, 0, 5, 5), Box(0, -2, 5, 5)):
        with pytest.raises(ValueError, match="reaches beyond the image of 10 x 10 pixels"):
            fit_mask(np.ones((64, 64)), box, 10, 10)


def test_masks_are_pictures_that_pillow_takes():
    mask = fit_mask(np.ones((64, 64)), Box(0, 0, 5, 5), 10, 10)
    assert np.asarray(Image.fromarray(mask)).sum() == 25
