"""The page of two runs side by side."""

import json
import re

import pytest
from PIL import Image

from ojito.evaluate.compared_page import in_order, page
from ojito.evaluate.runs import Prediction, compare_runs
from ojito.records import Turn

TAG = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def said(given, *, row=0, wanted="red", prompt="which?", kind="colour", images=(), overlap=None):
    key = (json.dumps(f"rows:{row}"), json.dumps(images), json.dumps(prompt), json.dumps(kind))
    return Prediction(key, Turn(prompt, (wanted,), kind), given, given == wanted, tuple(images), overlap)


def compared(*pairs, **other):
    ones, others = ([said(pair[i], row=n, **other) for n, pair in enumerate(pairs)] for i in (0, 1))
    return compare_runs(ones, others)


EACH = (("red", "red"), ("blue", "green"), ("blue", "red"), ("red", "blue"))
"""Both right, both wrong, B alone, A alone."""


def shown(html):
    """Which rows, in order."""
    return [int(row) for row in re.findall(r"rows:(\d+)</em>", html)]


def text(html):
    return " ".join(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", html, flags=re.S).split())


def test_page_tells_who_is_compared_and_the_paired_test():
    found = compared(*[("red", "blue")] * 20)
    seen = text(page(found, "runs/a", "runs/b"))
    assert seen.startswith("runs/a beside runs/b Two runs side by side A is runs/a. B is runs/b.")
    assert "exact_match 1.000 0.000 +1.000 +1.000 to +1.000 0.0" in seen
    assert "may be chance" not in seen
    assert "may be chance" in page(compared(*EACH), "a", "b")
    assert "1 A right, B wrong 25.0% of the questions" in text(page(compared(*EACH), "a", "b"))


def test_both_answers_stand_beside_the_question_and_its_references():
    seen = text(page(compared(("red", "blue")), "a", "b"))
    assert "colour · rows:0 which? expected: red A red ✓ right B blue ✗ wrong" in seen
    swapped = text(page(compared(("blue", "red")), "a", "b"))
    assert "A blue ✗ wrong B red ✓ right" in swapped
    assert "A (nothing) ✗ wrong" in text(page(compared(("", "red")), "a", "b"))


def test_those_that_differ_come_first():
    assert shown(page(compared(*EACH), "a", "b")) == [3, 2, 1, 0]
    many = compared(*[("red", "blue")] * 2, *[("blue", "red")] * 2, ("blue", "blue"), ("blue", "green"))
    assert shown(page(many, "a", "b")) == [0, 2, 1, 3, 5, 4]


def test_captions_that_differ_most_come_first():
    ones, others = (
        [said(f"c{n}", row=n, prompt="", kind="caption", overlap=overlap) for n, overlap in enumerate(overlaps)]
        for overlaps in ((0.5, 0.1, 0.3), (0.5, 0.9, 0.4))
    )
    html = page(compare_runs(ones, others), "a", "b")
    assert shown(html) == [1, 2, 0]
    assert "caption expected: red A c1 overlap 0.10 B c1 overlap 0.90" in text(html)


def test_limit_keeps_the_first_and_says_so():
    found = compared(*EACH)
    html = page(found, "a", "b", limit=2)
    assert shown(html) == [3, 2]
    assert "The first 2 of 4 are here; --limit shows more." in html
    assert "are here" not in page(found, "a", "b", limit=4)
    assert len(in_order(found)) == 4


def test_questions_of_one_run_alone_are_told():
    one = [said("red", row=n) for n in range(3)]
    assert "2 questions of both. 1 of one run alone are left out." in page(compare_runs(one, one[:2]), "a", "b")


def test_outcomes_and_kinds_can_be_chosen():
    ones = [said("red", row=0), said("blue", row=1, kind="<size>")]
    others = [said("blue", row=0), said("blue", row=1, kind="<size>")]
    html = page(compare_runs(ones, others), "a", "b")
    assert re.findall(r'<article class="([^"]*)"', html) == ["pair won of-kind-0", "pair both-wrong of-kind-1"]
    assert "body:has(#show-won:checked) .pair:not(.won) { display: none }" in html
    assert "body:has(#kind-1:checked) .pair:not(.of-kind-1) { display: none }" in html
    assert "&lt;size&gt;</label>" in html
    assert "show-both-right" not in html  # there is none
    assert "kind-all" not in page(compared(*EACH), "a", "b")


def test_images_are_embedded_and_one_that_is_gone_is_told(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 30), "red").save(path)
    html = page(compared(("red", "blue"), images=(str(path),)), "a", "b")
    assert len(re.findall('src="data:image/png;base64,', html)) == 1
    assert "cannot be read" not in html
    path.unlink()
    html = page(compared(("red", "blue"), images=(str(path),)), "a", "b")
    assert re.search(r'<div class="gone">[^<]*a\.png: does not exist', html)
    assert "1 image cannot be read where the runs found them" in html
    (tmp_path / "b.png").write_bytes(b"not an image")
    assert 'class="gone"' in page(compared(("red", "blue"), images=(str(tmp_path / "b.png"),)), "a", "b")
    assert "no image file" in page(compared(("red", "blue")), "a", "b")
    assert "cannot be read" not in page(compared(("red", "blue")), "a", "b")


@pytest.mark.parametrize("where", ["prompt", "wanted", "kind", "images"])
def test_foreign_text_of_a_question_is_escaped(where):
    html = page(compared(("red", "blue"), **{where: (TAG,) if where == "images" else TAG}), "a", "b")
    assert ESCAPED in html
    assert TAG not in html


def test_foreign_answers_and_names_are_escaped():
    for html in (page(compared((TAG, "red")), "a", "b"), page(compared(("red", TAG)), "a", "b"),
                 page(compared(*EACH), TAG, "b"), page(compared(*EACH), "a", TAG)):  # fmt: skip
        assert ESCAPED in html
        assert TAG not in html


def test_page_loads_nothing():
    html = page(compared(*EACH), "a", "b")
    assert not re.search(r"<link|https?:|url\(|@import|src=\"(?!data:)", html)
    assert html.count("<script") == 1
