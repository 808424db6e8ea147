"""Saved pipelines, and what they have learned."""

import torch

from ojito.learned import Learned
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.records import Sample
from tests.pipeline.toy import CONFIG, same


def test_answering_changes_nothing_of_what_is_saved(pipe, image, tmp_path):
    pipe.save(tmp_path / "before")
    pipe.ask(image, "what")
    pipe.save(tmp_path / "after")
    before, after = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("before", "after"))
    assert after == before
    assert load(tmp_path / "after", device="cpu").ask(image, "what") == pipe.ask(image, "what")


def test_saved_model_roundtrips_with_bit_equal_logits(pipe, image, tmp_path):
    pipe.save(tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu", dtype="float32")
    assert same(pipe, loaded, image)
    assert not loaded.model.training
    assert loaded.config == CONFIG
    assert loaded.name == "toy"
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.json", "model.safetensors", "processor.json", "recipe.yaml", "tokenizer.json",
    ]  # fmt: skip


def test_model_without_recipe_is_saved_without_one(pipe, image, tmp_path):
    bare = Pipeline(pipe.model, pipe.processor)
    bare.save(tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()
    assert load(tmp_path, "cpu").config is None


def test_loaded_model_can_be_saved_into_its_own_folder_and_trained_on(pipe, image, tmp_path):
    pipe.save(tmp_path)
    loaded = load(str(tmp_path), "cpu", "float32")
    with torch.no_grad():
        loaded.model.decoder.norm.weight.mul_(2)
    loaded.save(tmp_path)
    again = load(tmp_path, "cpu", "float32")
    assert same(loaded, again, image)
    assert not same(pipe, again, image)


def test_saving_over_another_model_leaves_none_of_its_recipe(pipe, tmp_path):
    pipe.save(tmp_path / "run")
    assert (tmp_path / "run" / "recipe.yaml").is_file()
    Pipeline(pipe.model, pipe.processor).save(tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()
    assert load(tmp_path / "run", device="cpu").config is None


def test_what_was_learned_is_found_out_when_it_is_asked_for(pipe):
    asked = []

    def find_out():
        asked.append(1)
        return Learned(before=True)

    assert pipe.learned is None
    pipe.learned = find_out
    assert not asked
    assert pipe.learned == pipe.learned == Learned(before=True)
    assert asked == [1]


def test_what_was_learned_is_saved_with_the_model(pipe, tmp_path):
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned is None
    pipe.learned = Learned.of([Sample([b"a"])])
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned == pipe.learned
    pipe.learned = None  # another model in the same folder has learned something else
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned is None
