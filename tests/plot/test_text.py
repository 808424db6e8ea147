import math

import pytest

from ojito.plot import Curve, Run, read_run
from ojito.plot.text import ASCII, duration, number, sparkline, summary


def test_summary_has_a_line_for_each_curve_that_matters(write):
    said = summary(read_run(write())).splitlines()
    assert said[0].endswith("mine: 200 steps, 800 samples in 1.7 min")
    assert [line[2:18].strip() for line in said[1:]] == [
        "loss", "loss, held out", "grounding gap", "learning rate", "gradient norm", "samples/s", "MFU",
        "exact match", "overlap",
    ]  # fmt: skip
    assert said[1].endswith("0.982 → 0.182")
    assert said[1].lstrip().startswith("loss            █")


def test_run_without_a_step_says_so():
    assert summary(Run("mine")) == "mine: no steps yet"


def test_sparkline_goes_from_low_to_high():
    assert sparkline(Curve([], [0.0, 1.0, 2.0, 7.0]), 4) == "▁▂▃█"
    assert sparkline(Curve([], [1.0, 1.0]), 2) == "▄▄"
    assert sparkline(Curve([], [0.0, math.nan, 1.0]), 3) == "▁ █"
    assert sparkline(Curve([], [0.0, 0.0, 1.0, 1.0]), 2) == "▁█"
    assert sparkline(Curve([], [math.nan]), 3) == "   "
    assert sparkline(Curve(), 2) == "  "
    assert set(sparkline(Curve([], [*map(float, range(50))]), 8, ASCII)) == set(ASCII)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.25, "0.250"), (12.34, "12.3"), (1234.0, "1,234"), (3e-4, "3.0e-04")]
)
def test_numbers_have_few_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (200, "3.3 min"), (9000, "2.5 h")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
