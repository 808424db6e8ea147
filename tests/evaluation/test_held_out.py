import dataclasses
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from ojito.config import Config, DataConfig, ProcessorConfig, PromptConfig
from ojito.data import DataError, Scenes, Source
from ojito.evaluation import HeldOut, held_out_baselines, open_held_out
from ojito.records import Sample, Turn


@pytest.fixture
def rows(tmp_path):
    """A file with four rows in two splits."""
    for n in range(4):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{n}.png")
    lines = [
        {"image": f"{n}.png", "caption": f"text {n}", "question": "q", "answer": "a", "split": split}
        for n, split in enumerate(("train", "train", "dev", "dev"))
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "rows.jsonl"


def pipe(config=None, prompt=PromptConfig()):  # noqa: B008
    return SimpleNamespace(config=config, processor=SimpleNamespace(config=ProcessorConfig(prompt=prompt)))


def test_split_is_that_of_the_recipe_unless_one_is_named(rows):
    assert open_held_out(pipe(), rows).split == "dev"
    assert open_held_out(pipe(Config(data=DataConfig(eval_split="train"))), rows).split == "train"
    assert open_held_out(pipe(), rows, "train").split == "train"
    with pytest.raises(DataError, match=r"has no split 'tset'; it has train \(4\), dev \(4\)"):
        open_held_out(pipe(), rows, "tset")


def test_only_split_is_taken_whatever_its_name(tmp_path, rows):
    (tmp_path / "one.jsonl").write_text('{"image": "0.png", "caption": "x", "split": "mine"}')
    assert open_held_out(pipe(), tmp_path / "one.jsonl").split == "mine"


def test_limit_is_the_number_of_rows(rows):
    assert len(open_held_out(pipe(), rows, limit=1).rows) == 1
    assert len(open_held_out(pipe(), rows).rows) == 4


def test_data_are_read_as_the_processor_and_the_recipe_say(rows):
    blind = PromptConfig(turns="blind", separator="\n")
    assert [len(row.turns) for row in open_held_out(pipe(prompt=blind), rows).rows] == [2, 2]
    rows.write_text(rows.read_text() + "\n{")
    with pytest.raises(DataError, match="1 of 5 rows"):
        open_held_out(pipe(), rows)
    assert open_held_out(pipe(Config(data=DataConfig(max_bad=0.5))), rows).rows


def captioned(text, split):
    return Sample(turns=(Turn("", (text,)),), split=split)


def test_baselines_are_chosen_on_the_training_split():
    source = Source("rows", [captioned("a dog", "train"), captioned("a dog", "train"), captioned("a dog", "dev")])
    held_out = HeldOut(source, "dev", source.samples("dev"))
    found = held_out_baselines(held_out)
    assert (found.constant, found.constant_overlap, found.n) == ("a dog", 1.0, 1)
    assert held_out_baselines(dataclasses.replace(held_out, split="train")) is None


def test_baselines_need_captions_to_choose_from():
    asked = Sample(turns=(Turn("what?", ("a",)),), split="dev")
    source = Source("rows", [captioned("a dog", "train"), asked])
    assert held_out_baselines(HeldOut(source, "dev", [asked])) is None
    alone = Source("rows", [captioned("a dog", "dev")])
    assert held_out_baselines(HeldOut(alone, "dev", alone.rows)) is None
    assert held_out_baselines(HeldOut(Scenes(), "dev", [captioned("a", "dev")])) is None
