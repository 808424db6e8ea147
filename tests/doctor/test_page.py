"""The page about an examination."""

import re

import pytest
from PIL import Image

from ojito.doctor import examine, examine_server
from ojito.doctor.finding import Finding, Report, Shown, alarm, healthy, note, skipped
from ojito.doctor.page import page
from tests.doctor.conftest import make_pipe
from tests.doctor.test_server import SERVERS, serve  # noqa: F401 - a fixture

TAG = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def named(finding, name="weights", shown=()):
    return Finding(finding.severity, finding.says, finding.evidence, finding.remedy, name, tuple(shown))


def text(html):
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.S).split())


def test_findings_come_first_with_evidence_and_remedy():
    report = Report("mine", (named(healthy("all is well", n=3), "head"), named(skipped("no time"), "order"),
                             named(note("a word", "do this", share=0.5), "exif"),
                             named(alarm("it broke", "mend it", by={"a": [1, 2]}), "weights")))  # fmt: skip
    seen = text(page(report))
    places = [seen.index(part) for part in ("it broke", "mend it", "a: 1, 2", "a word", "all is well", "no time")]
    assert places == sorted(places)
    assert "Findings: mine mine Broken: weights." in seen
    assert "1 broken of 4 findings 1 worth knowing of 4 findings 1 in order" in seen
    assert re.search(r"<details><summary>evidence</summary>.*<dt>n</dt><dd>3</dd>", page(report))
    assert page(report).count("<details>") == 1  # what is wrong is open


def test_page_of_a_healthy_model_says_so():
    html = page(Report("mine", (named(healthy("all is well")),)))
    assert "Nothing is broken, as far as it was examined." in html
    assert "<h2>Broken</h2>" not in html


def test_images_stand_with_what_was_asked_and_answered():
    red, blue = (Image.new("RGB", (9, 9), colour) for colour in ("red", "blue"))
    shown = [Shown((red,), "which colour?", "red"), Shown((red, blue), "which is first?", "blue"),
             Shown((), "which is first?", "none")]  # fmt: skip
    html = page(Report("mine", (named(alarm("x", "y"), shown=shown),)))
    assert html.count('src="data:image/png;base64,') == 3
    assert "red which colour? which is first? blue no image none" in text(html)


def test_image_that_cannot_be_read_is_told(tmp_path):
    html = page(Report("mine", (named(alarm("x", "y"), shown=[Shown((str(tmp_path / "gone.png"),), "a", "b")]),)))
    assert "does not exist" in html


def test_long_list_is_cut():
    seen = text(page(Report("mine", (named(alarm("x", "y", numbers=list(range(1000)))),))))
    assert "0, 1, 2, 3" in seen
    assert "…" in seen
    assert "999" not in seen


@pytest.mark.parametrize(
    "report",
    [
        Report(TAG, (named(healthy("a")),)),
        Report("a", (named(healthy("a"), TAG),)),
        Report("a", (named(alarm(TAG, "b")),)),
        Report("a", (named(alarm("a", TAG)),)),
        Report("a", (named(alarm("a", "b", **{TAG: 1})),)),
        Report("a", (named(alarm("a", "b", said=TAG)),)),
        Report("a", (named(alarm("a", "b", said={TAG: [TAG]})),)),
        Report("a", (named(alarm("a", "b"), shown=[Shown((), TAG, "b")]),)),
        Report("a", (named(alarm("a", "b"), shown=[Shown((), "a", TAG)]),)),
    ],
    ids=["patient", "examination", "says", "remedy", "name", "value", "mapping", "question", "answer"],
)
def test_foreign_text_is_escaped(report):
    html = page(report)
    assert ESCAPED in html
    assert "<script" not in html


def test_examined_model_shows_the_images_it_was_examined_with(cards):
    report = examine(make_pipe(), cards, own=True)
    assert [len(report.of(name).shown) for name in ("upright", "image", "weights")] == [3, 4, 0]
    assert [one.about for one in report.of("image").shown] == [
        "as it is: what is it? a red card", "blank", "exchanged", "shuffled",
    ]  # fmt: skip
    assert all(re.fullmatch(r"loss \d+\.\d{3}", one.said) for one in report.of("image").shown)
    assert "shown" not in report.to_dict()["findings"][0]
    assert page(report).count("<img ") == 7


def test_examined_server_shows_what_it_was_asked(serve):  # noqa: F811
    report = examine_server(serve(SERVERS["mirrors"][0])[0])
    asked = report.of("upright").shown
    assert [one.said for one in asked[:2]] == ["top right", "top left"]
    assert all(len(one.images) == 1 for one in asked)
    assert [len(one.images) for one in report.of("image order").shown] in ([2] * 4, [])
    assert report.of("image received").shown[0].images == ()  # the question without an image
    assert "There is one square in this image" in page(report)
