"""`ojito presets`: the table of what there is."""

import json

from ojito.presets import PRESETS


def test_presets_are_listed_with_their_size(run):
    rows = json.loads(run("presets", "--json")[1])
    assert [row["name"] for row in rows] == list(PRESETS)
    assert all(row["parameters"] > 0 and row["image_tokens"] > 0 and row["about"] for row in rows)
    table = run("presets")[1]
    assert len(table.splitlines()) == len(PRESETS) + 1
    assert "222M" in next(line for line in table.splitlines() if line.startswith("nanovlm-222m"))
