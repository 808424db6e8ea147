"""Gaps of 24 rows with two models, and what they show: the library's score and interval. Run it: python diagram.py"""

import torch

from ojito.evaluate.metrics.score import Score

LEFT, RIGHT, COLUMNS = -1.0, 2.0, 61


def column(nats):
    return round((min(max(nats, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT) * (COLUMNS - 1))


def line(marks):
    cells = [" "] * COLUMNS
    for place, mark in marks:
        cells[place] = mark
    return "".join(cells).rstrip()


torch.manual_seed(0)
spread = torch.randn(24)
for name, gaps in (("looks", 0.4 + 0.5 * spread), ("not shown to look", 0.05 + 0.5 * spread)):
    score = Score.mean(gaps.numpy())
    low, high = score.interval()
    print(f"{name}: {score:+.2f} ({low:+.2f} to {high:+.2f}) nats a token")
    places = [column(float(gap)) for gap in gaps]
    for height in range(max(places.count(place) for place in places), 0, -1):
        print("  " + line([(place, "o") for place in places if places.count(place) >= height]))
    inside = [(place, "=") for place in range(column(low), column(high) + 1)]
    print("  " + line([*((place, "-") for place in range(COLUMNS)), *inside, (column(0.0), "0"), (column(1.0), "1")]))
