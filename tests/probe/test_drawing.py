"""Boxes and arrows: text is wrapped to its box, and heights are what is drawn."""

import re
from xml.etree import ElementTree

import pytest

from ojito.probe.drawing import BODY, TITLE, Box, Group, Sheet, column_height, draw_column, height, text_width, wrap

LONG = "a long way of saying what is done with the patches of an image, in more words than one line holds"


def drawn(*items, width=300.0):
    sheet = Sheet()
    end = draw_column(sheet, items, 0, 0, width)
    return end, sheet.svg(width, end, "a title", "about it")


def test_wrapped_lines_fit_and_lose_no_word():
    for width in (90, 150, 300):
        lines = wrap(LONG, width)
        assert " ".join(lines) == LONG
        assert all(text_width(line) <= width for line in lines)
    assert len(wrap(LONG, 90)) > len(wrap(LONG, 300)) > 1


def test_word_that_is_too_wide_is_cut():
    (line,) = wrap("w" * 200, 100)
    assert line.endswith("w…")
    assert text_width(line) <= 100


@pytest.mark.parametrize(("size", "bold"), [(TITLE, False), (BODY, True)])
def test_larger_and_bold_text_is_wider(size, bold):
    assert text_width(LONG, size, bold) > text_width(LONG)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(("adds", "across"), [(False, False), (True, False), (True, True)])
def test_column_is_as_high_as_it_is_drawn(stacked, adds, across):
    boxes = (Box("one", (LONG,), "12"), Box("two", after="3 × 4"))
    items = (Box("in", after="T"), Group("all", boxes, stacked=stacked, across=across, adds=adds), Box("out"))
    end, svg = drawn(*items, width=700.0)
    assert end == column_height(items, 700.0)
    rectangles = re.findall(r'<rect class="(?:box|card|sheet)[^>]* y="([\d.]+)" [^>]*height="([\d.]+)"', svg)
    assert max(float(y) + float(tall) for y, tall in rectangles) == pytest.approx(end)
    assert svg.count('class="sheet ') == 2 * stacked
    assert svg.count('class="page" cx') == 2 * adds  # a plus after each


@pytest.mark.parametrize("change", [{"lines": (LONG, LONG)}, {"title": LONG}, {"strip": ("vision",)}])
def test_box_grows_with_what_it_holds(change):
    assert height(Box(**{"title": "one", **change}), 200) > height(Box("one"), 200)


@pytest.mark.parametrize(
    "change", [{"number": "7"}, {"tone": "vision"}, {"round": True}, {"strip": ("vision", "")}, {"lines": ("more",)}]
)
def test_each_field_of_a_box_is_drawn(change):
    assert drawn(Box("one", **change))[1] != drawn(Box("one"))[1]


def test_text_is_escaped():
    _, svg = drawn(Box("<a> & 'b'", ('"x" < y',), after="&"), Box("end"))
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"<a> & 'b'", '"x" < y', "&"} <= {*texts}
