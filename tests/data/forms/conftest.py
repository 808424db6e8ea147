import json

import pytest
from PIL import Image

from ojito.data import read_source


class Folder:
    """A folder of data: images, and files of rows."""

    def __init__(self, path):
        self.path = path

    def images(self, *names, size=(8, 6)):
        for name in names:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size).save(path)
        return self

    def write(self, name, content):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    def read(self, name="", **options):
        return read_source(self.path / name, **{"max_bad": 0, **options})


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def learned(folder):
    """What a file or folder teaches: images, question and answers of every turn."""

    def learned(name="", **options):
        return [
            (*(image.relative_to(folder.path).as_posix() for image in row.images), turn.prompt, turn.answers)
            for row in folder.read(name, **options).rows
            for turn in row.turns
        ]

    return learned
