from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageFont

from ojito.locate import drawing as draw
from ojito.locate.drawing import COLOURS, draw_boxes, find_font, has_glyph, pick_colours, text_colour_on
from tests.noise import noise

GREY = (100, 100, 100)


@dataclass(frozen=True)
class Thing:
    top: float
    left: float
    bottom: float
    right: float
    label: str = ""
    mask: np.ndarray | None = None


def drawn(*things, size=(200, 100), background=GREY):
    return np.asarray(draw_boxes(Image.new("RGB", size, background), things))


def is_colour(pixels, colour):
    return (pixels == np.array(colour)).all(-1)


def luminance(colour):
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return np.dot((0.2126, 0.7152, 0.0722), parts)


def test_box_is_a_line_within_its_own_edges():
    pixels = drawn(Thing(20, 30, 60, 90))
    colour = pick_colours([""])[""]
    expected = np.zeros((100, 200), np.bool_)
    expected[20:60, 30:90] = True
    expected[22:58, 32:88] = False
    assert np.array_equal(is_colour(pixels, colour), expected)
    assert is_colour(pixels, GREY)[~expected].all()


def test_image_itself_stays_as_it_is():
    image = Image.new("RGB", (50, 50), GREY)
    draw_boxes(image, [Thing(1, 1, 40, 40, "cat", np.ones((50, 50), np.bool_))])
    assert is_colour(np.asarray(image), GREY).all()


def test_no_boxes_leave_the_image_alone():
    image = noise((40, 30))
    assert draw_boxes(image, []).tobytes() == image.tobytes()


def test_grey_image_becomes_rgb():
    assert draw_boxes(Image.new("L", (50, 50)), [Thing(1, 1, 40, 40)]).mode == "RGB"


def test_mask_is_half_its_colour_and_half_the_image():
    mask = np.zeros((100, 200), np.bool_)
    mask[30:40, 50:60] = True
    pixels = drawn(Thing(20, 30, 60, 90, "", mask)).astype(int)
    half = (np.array(pick_colours([""])[""]) + GREY) / 2
    assert (np.abs(pixels[30:40, 50:60] - half) <= 1).all()
    assert is_colour(pixels, GREY)[22:30, 32:88].all()


def test_mask_of_another_image_is_an_error():
    with pytest.raises(ValueError, match="mask of 'cat': has 3 x 4 rows and columns, and the image 100 x 200"):
        drawn(Thing(1, 1, 9, 9, "cat", np.ones((3, 4), np.bool_)))


def test_line_and_letters_grow_with_the_image():
    def measures(scale):
        things = [Thing(50 * scale, 50 * scale, 150 * scale, 150 * scale, "cat")]
        found = is_colour(drawn(*things, size=(200 * scale, 200 * scale)), pick_colours(["cat"])["cat"])
        line = np.argmin(found[50 * scale :, 100 * scale])
        plate = 50 * scale - np.argmax(found[:, 50 * scale])
        return line, plate

    (line, plate), (line_of_large, plate_of_large) = measures(1), measures(8)
    assert line == 2
    assert line_of_large == 8
    assert 10 <= plate <= 20
    assert plate_of_large > 3 * plate


@pytest.mark.parametrize("top", [40, 3])
def test_label_stands_above_the_box_or_within_it(top):
    colour = pick_colours(["cat"])["cat"]
    rows, columns = np.nonzero(is_colour(drawn(Thing(top, 30, 90, 90, "cat")), colour))
    assert columns.min() == 30
    assert rows.min() in range(*(20, 30) if top == 40 else (3, 4))


@pytest.mark.parametrize("left", [195, -50])
def test_label_stays_within_the_image(left):
    thing = Thing(50, left, 90, left + 60, "animal")
    plate = is_colour(drawn(thing), pick_colours(["animal"])["animal"])[:50]
    assert plate.sum() > 100
    assert plate[:, -1].any() == (left == 195)
    assert plate[:, 0].any() == (left == -50)


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), *COLOURS])
def test_label_can_be_read_on_any_background(background):
    """Ink on a plate of one colour, which the background cannot reach."""
    colour = pick_colours(["cat"])["cat"]
    pixels = drawn(Thing(40, 30, 90, 90, "cat"), background=background)
    other = drawn(Thing(40, 30, 90, 90, "cat"), background=GREY)
    rows, columns = np.nonzero(is_colour(other, colour)[:39])
    plate = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    bright = [luminance(pixel) for pixel in pixels[plate].reshape(-1, 3)]
    assert (max(bright) + 0.05) / (min(bright) + 0.05) > 4.5
    assert np.array_equal(pixels[plate], other[plate])


@pytest.mark.parametrize("colour", [*COLOURS, (0, 0, 0), (255, 255, 255), GREY, (128, 128, 128)])
def test_ink_has_enough_contrast_on_any_colour(colour):
    bright, dark = sorted((luminance(colour), luminance(text_colour_on(colour))), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) > 4.5


def test_one_label_has_one_colour_and_others_have_others():
    labels = [f"thing {i}" for i in range(len(COLOURS))]
    colours = pick_colours(labels * 2)
    assert len(set(colours.values())) == len(labels)
    assert pick_colours(labels[::-1]) == colours
    assert set(pick_colours([f"thing {i}" for i in range(50)]).values()) == set(COLOURS)


def test_label_has_the_same_colour_beside_others():
    alone = pick_colours(["cat"])["cat"]
    beside = [pick_colours(["cat", other])["cat"] for other in ("dog", "owl", "ant", "bat", "ape")]
    assert sum(colour == alone for colour in beside) >= 4


def test_labels_of_several_lines_or_odd_characters_are_written():
    for label in ("a\nb", "\n", "ñ 🦉", "x" * 300, "\0"):
        drawn(Thing(40, 30, 90, 90, label))


@pytest.fixture
def only_pillows_font(monkeypatch):
    monkeypatch.setattr(draw, "FONTS", ())


def test_ascii_is_written_in_pillows_own_font_on_every_machine():
    label = "".join(map(chr, range(33, 127)))
    assert find_font(label, 12).getname() == ImageFont.load_default(12).getname()


@pytest.mark.parametrize("label", ["é", "señor", "кошка", "猫"])
def test_label_is_written_in_a_font_that_has_its_characters(label):
    font = find_font(label, 20)
    if font is None:
        pytest.skip(f"none of {', '.join(draw.FONTS)} on this machine has {label}")
    missing = bytes(font.getmask("\U0010ffff"))
    assert all(bytes(font.getmask(character)) != missing for character in label)
    thing, number = Thing(40, 30, 90, 90, label), Thing(40, 30, 90, 90, "1")
    assert not np.array_equal(drawn(thing) == 0, drawn(number) == 0)


def test_every_font_is_asked_for_all_characters_of_a_label(monkeypatch):
    asked = []
    monkeypatch.setattr(draw, "FONTS", ("first.ttf", "second.ttf"))
    monkeypatch.setattr(draw, "_open_font", lambda name, size: asked.append((name, size)) or ImageFont.load_default())
    monkeypatch.setattr(draw, "has_glyph", lambda font, character: character != "é" or len(asked) > 2)
    assert find_font("a é", 20)
    assert asked == [("", 20), ("first.ttf", 20), ("second.ttf", 20)]


@pytest.mark.usefixtures("only_pillows_font")
def test_label_that_no_font_can_show_is_the_number_of_its_box():
    assert find_font("aé", 20) is None
    assert not has_glyph(ImageFont.load_default(20), "é")
    for label in ("猫", "aé"):
        shown = drawn(Thing(10, 10, 50, 50), Thing(40, 30, 90, 90, label)), pick_colours(["", label])[label]
        number = drawn(Thing(10, 10, 50, 50), Thing(40, 30, 90, 90, "2")), pick_colours(["", "2"])["2"]
        plates = [is_colour(pixels[20:39], colour) for pixels, colour in (shown, number)]
        assert plates[0].sum() > 50
        assert np.array_equal(*plates)


def test_font_that_is_not_there_is_passed_over(monkeypatch):
    monkeypatch.setattr(draw, "FONTS", ("no such font of ojito.ttf",))
    assert find_font("é", 20) is None
    assert find_font("e", 20)


def test_drawing_is_deterministic():
    things = [Thing(10, 10, 50, 50, "cat"), Thing(20, 20, 90, 90, "dog")]
    assert np.array_equal(drawn(*things), drawn(*things))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (5, 5)])
def test_tiny_images_and_boxes_beyond_the_edge_are_drawn(size):
    things = [Thing(0, 0, 0.2, 0.2, "cat"), Thing(-9, -9, 999, 999, "dog"), Thing(500, 500, 501, 501, "owl")]
    assert drawn(*things, size=size).shape == (size[1], size[0], 3)
