"""The same questions with less of the image, or none."""

import io

import numpy as np
import pytest
from PIL import Image

from ojito.evaluate.controls import CONTROLS, altered, exchanged_images
from ojito.records import Sample, Turn


def plain(*rgb):
    return Image.new("RGB", (16, 12), rgb)


@pytest.fixture
def squares():
    """Sixteen squares of as many colours."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4).repeat(3, 0).repeat(4, 1)
    return Image.fromarray(np.stack([pixels * 15] * 3, axis=2))


@pytest.fixture
def pixels(pipe):
    def pixels(image, control, seed=0):
        (sample,) = altered(control, [Sample([image], turns=(Turn("a", ("b",)),))], pipe, seed)
        return np.asarray(Image.open(io.BytesIO(sample.images[0].read())))

    return pixels


@pytest.mark.parametrize("seed", range(5))
def test_nobody_gets_an_image_of_their_own(seed):
    images = [plain(n, 0, 0) for n in range(4)]
    exchanged = exchanged_images([Sample([image]) for image in images * 2], seed)
    assert all(a is not b[0] for a, b in zip(images * 2, exchanged, strict=True))
    # Equal images stay together: two questions about one image are about one image again.
    assert all(a is b for a, b in zip(exchanged[:4], exchanged[4:], strict=True))


def test_one_file_is_one_image_however_its_path_is_given(tmp_path):
    rows = [Sample([tmp_path / "a.png"]), Sample([str(tmp_path / "a.png")]), Sample([tmp_path / "b.png"])]
    assert [str(images[0])[-5:] for images in exchanged_images(rows)] == ["b.png", "b.png", "a.png"]


def test_exchange_keeps_the_number_of_images_and_leaves_out_who_has_no_partner(pipe):
    a, b, c, d, e, f = (plain(n, 0, 0) for n in range(6))
    rows = [Sample([a], "1"), Sample([b], "1"), Sample([c, d], "2"), Sample([d, c], "2"), Sample([e, e, f], "3")]
    exchanged = altered("exchanged", rows, pipe)
    assert [one and [*one.images] for one in exchanged] == [[b], [a], [d, c], [c, d], None]
    assert [one.prompt for one in exchanged[:4]] == ["1", "1", "2", "2"]


def test_without_an_image_its_tag_is_gone_as_well(pipe):
    turns = (Turn("<image> what?", ("a",)), Turn("and now?", ("b",)))
    (sample,) = altered("none", [Sample([plain(1, 2, 3)], turns=turns)], pipe)
    assert not sample.images
    assert [(turn.prompt, turn.answers) for turn in sample.turns] == [("what?", ("a",)), ("and now?", ("b",))]


def test_half_of_the_squares_are_grey(squares, pixels, pipe):
    mean = [round(255 * channel) for channel in pipe.processor.config.image.mean]
    found, before = pixels(squares, "half"), np.asarray(squares)
    grey = (found == mean).all(axis=2)
    assert 0.4 < grey.mean() < 0.6
    assert (found[~grey] == before[~grey]).all()
    assert (pixels(squares, "half", seed=1) != found).any()
    assert (pixels(squares, "half") == found).all()


def test_shuffled_squares_are_the_same_in_another_order(squares, pixels):
    found, before = pixels(squares, "shuffled"), np.asarray(squares)
    assert sorted(found.ravel()) == sorted(before.ravel())
    assert (found != before).any()
    assert (found[:3, :4] == found[0, 0]).all()  # squares are whole
    assert (pixels(squares, "shuffled", seed=1) != found).any()


def test_blurred_image_keeps_its_mean_and_loses_its_edges(pixels):
    sharp = Image.fromarray((np.indices((48, 48)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    found = pixels(sharp, "blurred").astype(float)
    assert found.std() < 10
    assert found.mean() == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize("control", ["half", "shuffled", "blurred"])
def test_tiny_images_can_be_altered(pixels, control):
    assert pixels(Image.new("RGB", (2, 1), (9, 9, 9)), control).shape == (1, 2, 3)
    assert pixels(Image.new("L", (5, 5)), control).shape == (5, 5, 3)


def test_altered_images_are_told_apart(pipe, squares):
    samples = [Sample([squares]), Sample([squares.copy()]), Sample([squares])]
    images = [one.images[0] for control in CONTROLS[3:] for one in altered(control, samples, pipe)]
    assert len(set(images)) == 6
    assert images[0] == images[2]
    assert altered("half", samples, pipe)[0].images[0] == images[0]
