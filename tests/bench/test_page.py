"""The page and the figures that it shows."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from ojito.bench.figures import Bench, Measured
from ojito.bench.page import page
from ojito.bench.roofline import Limits
from ojito.memory import AnswerMemory

CASE = Measured(
    batch=2, prompt=12, tokens=5, images=2, pixels_seconds=0.01, encode_seconds=0.1, first_token_seconds=0.25,
    ms_per_token=50.0, seconds=0.45, cold_seconds=0.6, peak=2_000_000_000,
    foretold=AnswerMemory(1_000_000_000, 0, 100, 200, 700_000_000), decode_share=0.6, prompt_share=0.3,
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
    for said in ("&lt;kite&gt;", "matrices in int8", "a &amp; b", "1.50&nbsp;s", "30.0 GB/s", "60%", "30%", "0.45"):
        assert said in html
    assert "<kite>" not in html


def test_machine_is_said_in_words():
    machine = {"cpu": "EPYC", "capable": ["avx2"], "cores": 4, "threads": 2, "torch": "2.9", "gpu": "H200"}
    html = page(dataclasses.replace(FOUND, machine=machine))
    assert "on H200, EPYC (avx2), 2 threads, PyTorch 2.9." in html


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


def widths(html):
    return [float(part.split("%")[0]) for part in html.split('style="width:')[1:]]


def test_bars_are_as_long_as_what_they_stand_for():
    image, prompt, decoding, *memory = widths(page(FOUND))
    # Of axes that end at 0.5 s and at 2 GB.
    assert (image, prompt, decoding) == pytest.approx((20, 30, 40))
    assert memory == pytest.approx([35, 50, 0, 0, 100], abs=0.01)


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0.45, "0.0 0.1 0.2 0.3 0.4 0.5"),
        (0.179, "0.00 0.05 0.10 0.15 0.20"),
        (10.0, "0 2 4 6 8 10"),
        (33.0, "0 10 20 30 40"),
        (1234.0, "0 500 1000 1500"),
        (0.0003, "0.0000 0.0001 0.0002 0.0003"),
    ],
)
def test_axis_has_round_numbers_from_0_to_beyond_the_longest_bar(seconds, ticks):
    html = page(dataclasses.replace(FOUND, cases=(dataclasses.replace(CASE, seconds=seconds),)))
    axis = html.split('<div class="axis">')[1].split("</div>")[0]
    assert re.findall(">([0-9.]+)<", axis) == ticks.split()
    assert '<div class="axis-unit">s</div>' in html


def test_answers_of_unequal_length_have_no_length_in_common():
    assert "Seconds to an answer of 5 tokens" in page(FOUND)
    html = page(dataclasses.replace(FOUND, cases=(CASE, dataclasses.replace(CASE, tokens=9))))
    assert "Seconds to an answer<" in html
