import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.errors import OjitoError
from ojito.probe.forced import answer_logits, force, log_probability
from ojito.probe.maps import HeatMap
from ojito.probe.occlusion import Dependence, cell_mask, curve, dependence, occlusion_map, stand_in
from tests.noise import noise
from tests.probe.conftest import PATCH


def probability(pipe, forced, word, image):
    with torch.no_grad():
        batch = forced.batch(pipe.processor, [pipe.processor.read_image(image)])
        return float(log_probability(answer_logits(pipe.model, batch, forced), forced, word))


@pytest.mark.parametrize("cover", ["mean", "blur"])
def test_only_the_patch_that_the_answer_depends_on_counts(planted, image, cover):
    forced = force(planted.processor, image, "what?", "red")
    heat = occlusion_map(planted.model, planted.processor, image, forced, forced.words[0], 2, cover)
    counted = heat.values.flatten()
    assert abs(counted[PATCH]) > 1e-3
    assert np.abs(np.delete(counted, PATCH)).max() < 1e-6


def test_number_is_what_the_word_loses(pipe, image, forced):
    word = forced.find("kite")
    heat = occlusion_map(pipe.model, pipe.processor, image, forced, word, 4)
    covered = np.array(image)
    covered[4:8, 12:] = np.asarray(stand_in(image, "mean"))[0, 0]
    lost = probability(pipe, forced, word, image) - probability(pipe, forced, word, Image.fromarray(covered))
    assert heat.values[1, 3] == pytest.approx(lost, abs=1e-5)
    assert heat.covers == (0, 0, 16, 16)


@pytest.mark.parametrize("change", [{"cells": 3}, {"cover": "blur"}])
def test_argument_changes_the_map(pipe, image, forced, change):
    word = forced.find("kite")
    before = occlusion_map(pipe.model, pipe.processor, image, forced, word, 4)
    after = occlusion_map(pipe.model, pipe.processor, image, forced, word, **{"cells": 4, **change})
    assert before.values.shape != after.values.shape or not np.allclose(before.values, after.values)


def test_batch_size_changes_nothing(pipe, image, forced):
    one, many = (
        occlusion_map(pipe.model, pipe.processor, image, forced, forced.words[0], 3, batch_size=size) for size in (1, 7)
    )
    np.testing.assert_allclose(one.values, many.values, atol=1e-5)


@pytest.mark.parametrize("cells", [0, -1, 17])
def test_cells_that_do_not_fit_are_refused(pipe, image, forced, cells):
    with pytest.raises(OjitoError, match=f"cells: {cells} do not fit along 16 pixels"):
        occlusion_map(pipe.model, pipe.processor, image, forced, forced.words[0], cells)


def test_cells_cover_every_pixel_once():
    heat = HeatMap(np.zeros((3, 2)), 7, 10, (0.0, 0.0, 7.0, 10.0))
    masks = np.stack([cell_mask(heat, cell) for cell in range(6)])
    assert masks.sum(axis=0).tolist() == np.ones((10, 7)).tolist()
    assert masks[3][4, 5]
    assert masks[3].sum() == 4 * 4  # rows 3 to 6, columns 3 to 6: the middle of column 3 is on the edge


def test_cells_beyond_the_image_have_no_pixels():
    heat = HeatMap(np.zeros((2, 1)), 4, 4, (1.0, -4.0, 3.0, 4.0))
    assert not cell_mask(heat, 0).any()
    assert cell_mask(heat, 1).sum() == 4 * 2


@pytest.fixture
def quarters():
    return lambda values: HeatMap(np.array(values, float), 16, 16, (0.0, 0.0, 16.0, 16.0))


def test_curves_lead_from_the_image_to_what_stands_in_for_it_and_back(pipe, image, forced, quarters):
    word, heat = forced.find("red"), quarters([[4, 3], [2, 1]])
    both = [np.exp(probability(pipe, forced, word, shown)) for shown in (image, stand_in(image, "mean"))]
    for kind, ends in (("deletion", both), ("insertion", both[::-1])):
        found = curve(kind, pipe.model, pipe.processor, image, forced, word, heat)
        assert found.shares == (0, 0.25, 0.5, 0.75, 1)
        assert [found.probabilities[0], found.probabilities[-1]] == pytest.approx(ends, rel=1e-4)


def test_curve_changes_where_the_only_patch_that_counts_is_reached(planted, image, quarters):
    forced = force(planted.processor, image, "what?", "red")
    for reached, values in ((1, [[1, 2], [9, 3]]), (3, [[9, 8], [2, 1]])):
        found = curve(
            "deletion", planted.model, planted.processor, image, forced, forced.words[0], quarters(values)
        ).probabilities
        steps = [abs(b - a) > 1e-6 * found[0] for a, b in itertools.pairwise(found)]
        assert steps == [number + 1 == reached for number in range(4)]


def test_area_is_the_mean_of_the_curve(pipe, image, forced, quarters):
    found = curve("deletion", pipe.model, pipe.processor, image, forced, forced.words[0], quarters([[1, 2], [3, 4]]))
    p = found.probabilities
    assert found.area == pytest.approx(p[0] / 8 + p[1] / 4 + p[2] / 4 + p[3] / 4 + p[4] / 8)


@pytest.mark.parametrize("change", [{"steps": 2}, {"cover": "blur"}, {"kind": "insertion"}])
def test_argument_changes_the_curve(pipe, image, forced, quarters, change):
    how = {"kind": "deletion", "steps": 4, **change}
    kind = how.pop("kind")
    given = (pipe.model, pipe.processor, image, forced, forced.words[0], quarters([[4, 3], [2, 1]]))
    assert curve(kind, *given, **how) != curve("deletion", *given, steps=4)


def test_image_is_not_changed(pipe, forced):
    image = noise((16, 16), seed=1)
    occlusion_map(pipe.model, pipe.processor, image, forced, forced.words[0], 2)
    assert image.tobytes() == noise((16, 16), seed=1).tobytes()


def test_dependence_is_what_each_word_loses_without_the_image(pipe, image):
    forced = force(pipe.processor, image, "what?", "red, kite")
    found = dependence(pipe.model, pipe.processor, image, forced)
    assert [one.word.text for one in found] == ["red", "kite"]  # and not the comma
    for one in found:
        seen, covered = (probability(pipe, forced, one.word, im) for im in (image, stand_in(image, "mean")))
        assert one.nats == pytest.approx(seen - covered, abs=1e-4)
        assert (one.seen, one.covered) == (pytest.approx(np.exp(seen)), pytest.approx(np.exp(covered)))


def test_dependence_of_an_impossible_word_is_a_number(forced):
    assert Dependence(forced.words[0], 0.5, 0.0).nats > 50
    assert Dependence(forced.words[0], 0.0, 0.0).nats == 0
