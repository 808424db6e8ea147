"""The aspect ratio of images, and what is said where it is far from a square's."""

import json

import pytest
from PIL import Image

from ojito.config import ImageConfig
from ojito.data import read_source
from ojito.data.aspect import aspect_ratio, aspect_ratio_of, distortion
from ojito.processor.tiles import read_image
from ojito.records import Sample


def test_longer_side_over_the_shorter_and_the_median_of_images():
    assert aspect_ratio([(400, 100)]) == aspect_ratio([(100, 400)]) == 4
    assert aspect_ratio([(400, 100), (100, 100), (100, 150)]) == 1.5
    assert aspect_ratio([]) == 1


def test_rows_are_looked_at_all_over():
    square, wide = (Sample([Image.new("RGB", size)]) for size in ((10, 10), (30, 10)))
    assert aspect_ratio_of([square] * 400 + [wide] * 600) == 3
    assert aspect_ratio_of([square] * 600 + [wide] * 400) == 1
    assert aspect_ratio_of([square] * 2 + [wide] * 3) == 3
    assert aspect_ratio_of([Sample([])]) == aspect_ratio_of([]) == 1


def test_images_that_cannot_be_read_count_not(tmp_path):
    Image.new("RGB", (50, 10)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    rows = [{"image": f"{name}.png", "caption": "x"} for name in "abb"]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert aspect_ratio_of(read_source(tmp_path / "rows.jsonl").rows) == 5


@pytest.mark.parametrize(
    ("fit", "lost"),
    [
        ("squash", "squashed into a square, they have shapes 4.0 times as narrow or as flat"),
        ("crop", "of each, the middle 25% alone is seen"),
        ("pad", "75% of each square is padding"),
    ],
)
def test_what_a_square_takes_is_told(fit, lost):
    said, remedy = distortion(4.0, ImageConfig(fit=fit), 96)
    assert said == f"the aspect ratio of the images is 4.0 (median): {lost}"
    assert " processor.image.longest_side=384 processor.prompt.whole=none cuts each into 4 squares" in remedy
    assert remedy.endswith("4 times the visual tokens")


@pytest.mark.parametrize(("width", "size", "squares"), [
    (200, 96, 2), (260, 96, 2), (390, 96, 3), (400, 96, 4), (410, 448, 4), (999, 112, 9), (410, 1500, 2),
])  # fmt: skip
def test_the_remedy_makes_one_row_of_so_many_squares(width, size, squares):
    _, remedy = distortion(width / 100, ImageConfig(), size)
    longest = int(remedy.partition("longest_side=")[2].split()[0])
    tiles = read_image(Image.new("RGB", (width, 100)), size, ImageConfig(fit="tiles", longest_side=longest))
    assert (tiles.rows, tiles.columns) == (1, squares)
    assert f"cuts each into {squares} squares, which are {squares} times the visual tokens" in remedy


def test_every_nth_row_may_be_of_one_kind():
    square, wide = (Sample([Image.new("RGB", size)]) for size in ((10, 10), (30, 10)))
    assert aspect_ratio_of([square, wide, wide, wide] * 100) == 3


@pytest.mark.parametrize(
    ("aspect", "image"), [(1.99, ImageConfig()), (4.0, ImageConfig(fit="tiles", longest_side=384))]
)
def test_nothing_is_said_of_photographs_and_of_tiles(aspect, image):
    assert distortion(aspect, image, 96) == ("", "")
