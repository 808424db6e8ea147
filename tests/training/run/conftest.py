"""Rows for whole runs."""

import json

import pytest
from PIL import Image


@pytest.fixture
def some_bad(tmp_path):
    """Writes so many rows to learn from, the fourth of them with a broken image, and two to score on."""

    def write(count, captions):
        rows = []
        for number in range(count):
            Image.new("RGB", (20, 20), (20 * number, 90, 0)).save(tmp_path / f"{number}.png")
            rows.append({"image": f"{number}.png", "captions": captions(number), "split": "train"})
        (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:60])
        rows += [{"image": f"{number}.png", "caption": "zebra", "split": "dev"} for number in (0, 1)]
        (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return tmp_path / "mixed.jsonl"

    return write
