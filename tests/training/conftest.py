"""`ojito.train` with a tiny recipe, and rows for it."""

import dataclasses
import json

import pytest
from PIL import Image

import ojito
from ojito.config import DataConfig


@pytest.fixture
def recipe(tiny_config, tmp_path):
    """Two images of one's own with captions."""
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    rows = [{"image": f"{name}.png", "caption": text} for name, text in (("a", "zebra"), ("b", "quokka"))]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return dataclasses.replace(tiny_config, data=DataConfig(path=str(tmp_path / "rows.jsonl")))


@pytest.fixture
def train(recipe):
    """`ojito.train` with the recipe, for some steps, without display."""

    def run(start=None, *args, settings=(), **options):
        return ojito.train(
            recipe if start is None else start,
            *args,
            settings=["train.steps=3", "train.batch_size=2", "train.log_every=1", *settings],
            **{"device": "cpu", "quiet": True, **options},
        )

    return run


@pytest.fixture
def dev(tmp_path):
    """A file of rows with an evaluation split."""
    rows = [{"image": "a.png", "caption": "zebra", "split": split} for split in ("train", "dev")]
    (tmp_path / "split.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "split.jsonl"


@pytest.fixture
def many(tmp_path):
    """A file of 40 images without a split, and a question about each."""
    rows = []
    for number in range(40):
        Image.new("RGB", (8, 8), (6 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": "which one?", "answer": "zebra"})
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "many.jsonl"
