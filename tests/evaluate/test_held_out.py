import dataclasses
import json
from types import SimpleNamespace

import pytest
from PIL import Image

from ojito.config import Config, DataConfig, ProcessorConfig, PromptConfig
from ojito.data import DataError, Scenes, Source, read_source
from ojito.evaluate import HeldOut, held_out_baselines, open_held_out
from ojito.learned import Learned
from ojito.records import Sample, Turn
from ojito.settings import ConfigError


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


def pipe(config=None, prompt=PromptConfig(), learned=None):  # noqa: B008
    processor = SimpleNamespace(config=ProcessorConfig(prompt=prompt))
    return SimpleNamespace(config=config, processor=processor, learned=learned)


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
    assert open_held_out(pipe(), rows, settings=["data.max_bad=0.5"]).rows
    with pytest.raises(ConfigError, match=r"train: is not of data, as all settings of an evaluation are"):
        open_held_out(pipe(), rows, settings=["train.lr=1"])


def test_rows_are_drawn_by_the_seed(rows):
    drawn = [open_held_out(pipe(), rows, "train", 2, seed).rows for seed in (0, 0, *range(1, 8))]
    assert drawn[0] == drawn[1]
    assert len({tuple(row.origin for row in some) for some in drawn}) > 1


# ------------------------------------------------------------------------------------------------- what was learned


@pytest.fixture
def images(tmp_path):
    """Four images with a caption each, and no split."""
    for number in range(4):
        Image.new("RGB", (4, 4), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    lines = [{"image": f"{number}.png", "caption": f"number {number}"} for number in range(4)]
    (tmp_path / "images.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return read_source(tmp_path / "images.jsonl").rows


def said(learned, tmp_path, split=""):
    found = open_held_out(pipe(learned=learned), tmp_path / "images.jsonl", split)
    return [row.origin[-1] for row in found.rows], found.said


def test_rows_that_training_held_out_are_those_that_are_scored(images, tmp_path):
    learned = Learned.of(images[:1] + images[2:], [images[1]])
    assert said(learned, tmp_path) == (
        ["2"],
        "its only row was held out of training: the model has never seen the images",
    )
    origins, about = said(learned, tmp_path, "train")
    assert origins == ["1", "3", "4"]
    assert about.startswith("all 3 rows were learned in training: this score says what the model has by heart")
    found = open_held_out(pipe(learned=learned), tmp_path / "images.jsonl")
    assert found.to_dict() == {"rows": 1, "learned": 0, "held_out": True}
    assert held_out_baselines(found).constant in ("number 0", "number 2", "number 3")


def test_what_was_learned_in_part_or_not_at_all_is_said(images, tmp_path):
    some = Learned.of(images[:1])
    assert said(some, tmp_path)[1].startswith("1 of 4 rows was learned in training")
    elsewhere = Learned.of([Sample([Image.new("RGB", (9, 9))])])
    assert said(elsewhere, tmp_path)[1] == "all 4 rows were not in training: the model has never seen the images"


def test_nothing_is_said_where_nobody_knows(images, tmp_path):
    assert said(None, tmp_path)[1] == ""
    assert said(Learned(before=True), tmp_path)[1] == ""
    began = dataclasses.replace(Learned.of([Sample([Image.new("RGB", (9, 9))])]), before=True)
    assert said(began, tmp_path)[1] == ""


def test_another_usual_name_of_a_split_is_understood(tmp_path, images):
    lines = [{"image": f"{n}.png", "caption": "x", "split": s} for n, s in enumerate(("train", "valid", "test"))]
    (tmp_path / "images.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert open_held_out(pipe(), tmp_path / "images.jsonl").split == "dev"
    assert open_held_out(pipe(), tmp_path / "images.jsonl", "val").split == "dev"
    assert open_held_out(pipe(), tmp_path / "images.jsonl", "test").split == "test"


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
