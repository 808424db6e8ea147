import json

import pytest
from PIL import Image

from ojito.data import read_source


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of indices, so that none is left in the user's own."""
    monkeypatch.setenv("OJITO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Data:
    """Files of rows, read whole and by an index."""

    def __init__(self, path):
        self.path = path

    def images(self, *names):
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(self.path / name)

    def lines(self, *rows, name="rows.jsonl"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (self.path / name).write_text("\n".join(lines), encoding="utf-8")
        return self.path / name

    def whole(self, name="rows.jsonl", **options):
        return read_source(self.path / name, **{"max_bad": 1, **options})

    def indexed(self, name="rows.jsonl", **options):
        return self.whole(name, rows_mb=0, **options)


@pytest.fixture
def data(tmp_path):
    data = Data(tmp_path)
    data.images(*(f"{letter}.png" for letter in "abcdefg"))
    return data
