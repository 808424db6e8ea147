"""The page and the figures that it shows."""

import dataclasses
from html.parser import HTMLParser

import pytest

from ojito.bench.figures import Bench, Measured
from ojito.bench.page import page
from ojito.bench.roofline import Limits
from ojito.memory import AnswerMemory

CASE = Measured(
    batch=2, prompt=12, tokens=5, images=2, pixels_seconds=0.01, encode_seconds=0.1, first_token_seconds=0.25,
    ms_per_token=50.0, seconds=0.45, cold_seconds=0.6, peak=2_000_000_000,
    foretold=AnswerMemory(1_000_000_000, 100, 200, 700_000_000), decode_share=0.6, prompt_share=0.3,
)  # fmt: skip
FOUND = Bench("<kite>", "float32", "int8", 1.5, 2_100_000_000, (CASE,), Limits(3e10, 1e12), {"cpu": "a & b"})


def test_figures_follow_from_each_other():
    assert CASE.tokens_per_second == 2 * 20
    assert CASE.prepare_seconds == pytest.approx(0.15)
    assert dataclasses.replace(CASE, cold_seconds=0.3).prepare_seconds == 0
    values = FOUND.to_dict()
    assert (values["peak_gb"], values["cases"][0]["peak_gb"]) == (2.1, 2.0)
    assert values["foretold_gb"]["peak"] == 1.7


def test_page_shows_figures_and_escapes_names():
    html = page(FOUND)
    for said in ("&lt;kite&gt;", "matrices in int8", "a &amp; b", "1.50 s", "30.0 GB/s", "60% of memory", "0.45"):
        assert said in html
    assert "<kite>" not in html


def test_page_needs_nothing_else_and_closes_what_it_opens():
    open_tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "link", "img")
            open_tags.extend([tag] * (tag in ("svg", "div", "table")))

        def handle_endtag(self, tag):
            if tag in ("svg", "div", "table"):
                assert open_tags.pop() == tag

    Reader().feed(page(FOUND))
    assert not open_tags


def test_bars_are_as_long_as_what_they_stand_for():
    html = page(FOUND)
    widths = [float(part.split('"')[0]) for part in html.split(' width="')[1:] if part[0].isdigit()]
    image, rest, others = widths[:3]
    assert (image / others, rest / others) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.75, abs=0.01))
