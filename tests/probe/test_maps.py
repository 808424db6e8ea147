import dataclasses

import numpy as np
import pytest
from PIL import Image

from ojito.config import (
    AveragePoolConfig,
    ConnectorConfig,
    DecoderConfig,
    ImageConfig,
    ModelConfig,
    NoVisionConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    ProcessorConfig,
    PromptConfig,
    ViTConfig,
)
from ojito.errors import OjitoError
from ojito.locate.boxes import Box
from ojito.probe.maps import (
    LEAST_SIDE,
    HeatMap,
    area_share,
    draw_heat,
    draw_sheet,
    join_tiles,
    lay,
    mass_inside,
    square_on_image,
    token_grid,
)
from ojito.processor import Processor
from ojito.records import Sample
from tests.noise import noise
from tests.pipeline.toy import make

VISION = ViTConfig(image_size=32, patch_size=8, width=16, layers=1, heads=2, mlp_dim=32)
DECODER = DecoderConfig(vocab_size=40, width=16, layers=1, heads=2, mlp_dim=16)


def model(connector=None, vision=VISION):
    return ModelConfig(vision, connector or ConnectorConfig(), DECODER)


def heat(values, width=40, height=20, covers=None):
    return HeatMap(np.array(values, np.float64), width, height, covers or (0.0, 0.0, float(width), float(height)))


# ------------------------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("connector", "grid"),
    [(None, (4, 4)), (PixelShuffleConfig(factor=2), (2, 2)), (AveragePoolConfig(factor=4), (1, 1))],
)
def test_grid_is_that_of_the_tokens_that_the_connector_makes(connector, grid):
    assert token_grid(model(connector)) == grid


def test_tokens_of_a_perceiver_have_no_place():
    with pytest.raises(OjitoError) as error:
        token_grid(model(PerceiverConfig(queries=16, heads=2)))
    assert "have no place in the image" in str(error.value)
    assert error.value.remedy == "use the method occlusion or gradient"


def test_model_of_text_has_no_grid():
    with pytest.raises(OjitoError, match="reads text alone"):
        token_grid(model(vision=NoVisionConfig()))


@pytest.mark.parametrize("whole", ["last", "first", "none"])
def test_tiles_stand_side_by_side_and_the_whole_is_spread_over_them(whole):
    tiles = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], float)  # one row of two tiles
    over = np.array([[[40, 80], [0, 0]]], float)
    squares = {"last": [tiles, over], "first": [over, tiles], "none": [tiles]}[whole]
    expected = np.array([[1, 2, 5, 6], [3, 4, 7, 8]], float)
    if whole != "none":
        expected += [[20, 20, 40, 40], [0, 0, 0, 0]]
    assert join_tiles(np.concatenate(squares), (1, 2), whole).tolist() == expected.tolist()


def test_image_that_is_not_split_is_its_one_square():
    assert join_tiles(np.array([[[1.0, 2.0]]]), (0, 0), "last").tolist() == [[1, 2]]


@pytest.mark.parametrize("whole", ["last", "first", "none"])
def test_joined_tiles_are_the_image(whole):
    """The squares in the order that a model reads them."""
    image = noise((64, 32), seed=3)
    config = ProcessorConfig(ImageConfig(fit="tiles", longest_side=64), prompt=PromptConfig(whole=whole))
    tokenizer = make().processor.tokenizer
    processor = Processor(config, tokenizer, 32, 16)
    row = processor.row(Sample([image]))
    squares = processor.batch([row]).images[:, 0].numpy() * 127.5 + 127.5
    if whole != "none":
        squares[0 if whole == "first" else -1] = 0
    joined = join_tiles(squares, (row.images[0].rows, row.images[0].columns), whole)
    np.testing.assert_allclose(joined, np.asarray(image)[..., 0], atol=0.01)


@pytest.mark.parametrize(
    ("fit", "edges"),
    [("squash", (0, 0, 40, 20)), ("crop", (10, 0, 30, 20)), ("pad", (0, -10, 40, 30))],
)
def test_square_lies_where_the_image_was_fitted(fit, edges):
    assert square_on_image(40, 20, ImageConfig(fit=fit)) == edges


def test_numbers_of_tokens_are_laid_in_reading_order():
    laid = lay(range(16), (0, 0), (40, 20), model(), ProcessorConfig())
    assert laid.values.tolist() == np.arange(16.0).reshape(4, 4).tolist()
    assert (laid.width, laid.height, laid.covers) == (40, 20, (0, 0, 40, 20))
    assert laid.peak == (35, 17.5)


def test_map_leaves_out_the_pixels_that_no_patch_covers():
    cropped = dataclasses.replace(VISION, image_size=40, patch_size=16, crop=True)
    laid = lay(range(4), (0, 0), (80, 40), model(vision=cropped), ProcessorConfig())
    assert laid.covers == (0, 0, 64, 32)


# ------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(0, 0, 10, 20), 0.25),
        (Box(0, 0, 10, 40), 0.75),
        (Box(0, 20, 10, 30), 0.25),  # half of the cell
        (Box(0, 0, 20, 40), 1),
        (Box(-5, -5, 100, 100), 1),
        (Box(5, 10, 15, 30), 0.25),
    ],
)
def test_mass_inside_a_box_counts_parts_of_cells(box, inside):
    assert mass_inside(heat([[1, 2], [0, 1]]), box) == pytest.approx(inside)


@pytest.mark.parametrize("box", [Box(3, 4, 17, 9), Box(0, 0, 5, 40), Box(-3, 30, 30, 60)])
def test_even_map_has_as_much_inside_as_by_chance(box):
    even = heat(np.ones((3, 5)))
    assert mass_inside(even, box) == pytest.approx(area_share(even, box))


def test_share_of_the_area_counts_what_is_on_the_image():
    assert area_share(heat([[1]]), Box(-10, 30, 10, 50)) == 100 / 800


def test_mass_leaves_out_what_is_below_0_or_off_the_image():
    padded = heat([[9, 9], [1, 1], [1, 1], [9, 9]], covers=(0.0, -10.0, 40.0, 30.0))
    assert mass_inside(padded, Box(0, 0, 20, 20)) == pytest.approx(0.5)
    assert mass_inside(heat([[1, -5], [1, -5]]), Box(0, 0, 20, 20)) == pytest.approx(1)


def test_map_without_anything_above_0_has_no_mass():
    with pytest.raises(OjitoError, match="map: is nowhere above 0"):
        mass_inside(heat([[0, -1]]), Box(0, 0, 1, 1))


# ------------------------------------------------------------------------------------------------------------- drawing


def test_drawn_map_is_hot_at_its_peak_and_cold_elsewhere():
    drawn = np.asarray(draw_heat(Image.new("RGB", (400, 200), "grey"), heat([[0, 0], [0, 1]], 400, 200)), int)
    assert drawn.shape == (200, 400, 3)
    hot, cold = drawn[150:, 300:].sum(axis=-1), drawn[:50, :100].sum(axis=-1)
    assert hot.min() > 2 * cold.max()


def test_drawn_map_is_as_hot_however_high_its_values_are():
    image = Image.new("RGB", (400, 200), "grey")
    one, many = (draw_heat(image, heat(np.array([[0, 1], [2, 3]]) * scale, 400, 200)) for scale in (1, 1000))
    assert one.tobytes() == many.tobytes()


def test_drawing_leaves_what_is_not_covered_as_it_is():
    image = noise((400, 200))
    drawn = np.asarray(draw_heat(image, heat([[1, 0], [0, 1]], 400, 200, (100.0, 0.0, 300.0, 200.0))))
    before = np.asarray(image)
    assert np.array_equal(drawn[:, :100], before[:, :100])
    assert np.array_equal(drawn[:, 300:], before[:, 300:])
    assert not np.array_equal(drawn[:, 100:300], before[:, 100:300])


@pytest.mark.parametrize("covers", [(0.0, -100.0, 400.0, 300.0), (0.0, 0.0, 380.0, 190.0)])
def test_map_may_go_beyond_the_image_or_end_before_it(covers):
    assert draw_heat(noise((400, 200)), heat(np.eye(4), 400, 200, covers)).size == (400, 200)


def test_map_of_the_whole_is_drawn_on_the_image_at_another_scale():
    drawn = np.asarray(draw_heat(Image.new("RGB", (400, 200)), heat([[0, 1]], 4000, 2000)), int).sum(axis=-1)
    assert drawn[:, 300:].min() > drawn[:, :100].max()


def test_small_image_is_enlarged():
    assert draw_heat(noise((48, 24)), heat([[1]], 48, 24)).width >= LEAST_SIDE


def test_map_of_zeros_is_cold():
    drawn = np.asarray(draw_heat(Image.new("RGB", (400, 200), "grey"), heat([[0, 0]], 400, 200)), int)
    assert drawn.std(axis=(0, 1)).max() == 0


def test_sheet_has_a_place_and_a_label_for_each_map():
    image, maps = noise((40, 20)), [heat([[1, 0]]), heat([[0, 1]])]
    two = np.asarray(draw_sheet(image, maps, ["red", "kite"]), int)
    assert not np.array_equal(two, np.asarray(draw_sheet(image, maps, ["red", "dog"])))
    assert not np.array_equal(two, np.asarray(draw_sheet(image, maps[::-1], ["red", "kite"])))
    one = draw_sheet(image, maps[:1], ["red"])
    assert (one.height, one.width < two.shape[1]) == (two.shape[0], True)
    assert draw_sheet(image, maps * 4, ["red"] * 8).height > one.height


def test_label_that_no_font_can_write_is_a_number():
    image = noise((40, 20))
    strange, number = (draw_sheet(image, [heat([[1]])], [label]) for label in ("\ue123", "1"))
    assert strange.tobytes() == number.tobytes()
