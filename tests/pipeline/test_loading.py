"""`load`: folders and presets, dtype and device, and what cannot be loaded."""

import dataclasses
import json
import re

import pytest
import torch

import ojito
from ojito import device, memory
from ojito.checkpoint.files import CheckpointError
from ojito.config import TokenizerConfig
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.settings import ConfigError
from tests.pipeline.toy import CONFIG, same


@pytest.mark.parametrize(("dtype", "expected"), [
    ("float32", torch.float32), ("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16), ("auto", None),
])  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_dtype_is_that_of_the_weights(pipe, presets, image, tmp_path, monkeypatch, dtype, expected, fast):
    monkeypatch.setattr(device, "fast_bfloat16", lambda _: fast)
    expected = expected or (torch.bfloat16 if fast else torch.float32)
    pipe.save(tmp_path)
    for name in (tmp_path, "tiny"):
        loaded = load(name, "cpu", dtype)
        assert {p.dtype for p in loaded.model.parameters()} == {expected}
        assert len(loaded.ask(image, "what", max_new_tokens=3).tokens) == 3


def test_preset_has_random_weights_from_the_seed(presets, image):
    a, b, c = (load("tiny", "cpu", "float32", seed=seed) for seed in (1, 1, 2))
    assert same(a, b, image)
    assert not same(a, c, image)
    assert not a.model.training


def test_loading_a_preset_leaves_pytorchs_own_random_state_alone(presets):
    before = torch.get_rng_state()
    load("tiny", "cpu")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("kind", "size"), [("characters", 104), ("bpe", 259)])
def test_preset_knows_single_characters_or_bytes(presets, kind, size):
    processor = dataclasses.replace(CONFIG.processor, tokenizer=TokenizerConfig(kind=kind))
    presets["tiny"] = dataclasses.replace(CONFIG, processor=processor)
    tokenizer = load("tiny", "cpu").processor.tokenizer
    assert tokenizer.size == size
    assert tokenizer.decode(tokenizer.encode("How many?")) == "How many?"


def test_preset_survives_saving(presets, image, tmp_path):
    pipe = load("tiny", "cpu", "float32")
    pipe.save(tmp_path)
    assert same(pipe, load(tmp_path, "cpu", "float32"), image)


def test_folder_wins_over_a_preset_of_its_name(pipe, presets, tmp_path, monkeypatch):
    pipe.name = "mine"
    pipe.save(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert load("tiny", "cpu").name == "mine"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tinyer", "did you mean tinier"), ("xyz", "presets are tiny, tinier"), ("runs/deom", "did you mean runs/demo")],
)
def test_name_that_is_nothing_gets_a_hint(presets, tmp_path, monkeypatch, name, hint):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"{name!r}: is neither a folder nor a preset; {hint}")):
        load(name, "cpu")


def test_model_of_a_demo_is_found_below_its_folder(pipe, tmp_path):
    pipe.save(tmp_path / "demo" / "model")
    assert ojito.load(tmp_path / "demo").name == pipe.name
    other = Pipeline(pipe.model, pipe.processor, name="other")
    other.save(tmp_path / "demo")
    assert ojito.load(tmp_path / "demo").name == "other"  # a model wins over one below it


def test_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json: it is empty; give a folder"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json", "processor.json"])
def test_missing_file_is_named(pipe, tmp_path, missing):
    pipe.save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError, match=f"no {re.escape(missing)}"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("linked", ["tokenizer.json", "processor.json", "recipe.yaml"])
def test_link_out_of_the_folder_is_refused(pipe, tmp_path, linked):
    pipe.save(tmp_path / "run")
    (tmp_path / "run" / linked).rename(tmp_path / linked)
    (tmp_path / "run" / linked).symlink_to(tmp_path / linked)
    with pytest.raises(CheckpointError, match="link to a place outside"):
        load(tmp_path / "run", "cpu")


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["decoder"].update(layers=10**9), "asks for 1000000001 layers, but"),
        (lambda m: m["vision"].update(layers=10**9), "asks for 1000000001 layers, but"),
        (lambda m: m["decoder"].update(vocab_size=10**15), "GiB for its weights"),
        (lambda m: m["decoder"].update(width=2 * 10**18), "beyond any memory"),
        (lambda m: m["decoder"].update(mlp_dim=10**30), "beyond any memory"),
        (lambda m: m["decoder"].update(mlp_dim=65), "differing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_config_that_lies_is_an_error_before_memory_is_taken(pipe, tmp_path, change, message):
    pipe.save(tmp_path)
    edit(tmp_path / "config.json", lambda values: change(values["model"]))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("setting", ["image_size", "image_tokens"])
def test_processor_of_another_model_is_an_error(pipe, tmp_path, setting):
    pipe.save(tmp_path)
    edit(tmp_path / "processor.json", lambda values: values.update({setting: 99}))
    with pytest.raises(CheckpointError, match="processor and model do not fit"):
        load(tmp_path, "cpu")


def test_recipe_that_cannot_be_read_is_named(pipe, tmp_path):
    pipe.save(tmp_path)
    (tmp_path / "recipe.yaml").write_text("trian: {}")
    with pytest.raises(ConfigError, match="did you mean train"):
        load(tmp_path, "cpu")


def test_model_too_large_for_the_memory_is_an_error_with_both_sizes(presets, pipe, tmp_path, monkeypatch):
    pipe.save(tmp_path)
    monkeypatch.setattr(memory, "available_memory", lambda device: 2**10)
    for name in ("tiny", tmp_path):
        with pytest.raises(
            ValueError, match=r"needs 0\.0 GiB for its weights in float32, and 0\.0 GiB are free on cpu"
        ):
            load(name, "cpu", "float32")


@pytest.mark.parametrize(("argument", "message"), [
    ({"device": "gpu"}, "device: 'gpu' is not one of"),
    ({"dtype": "int8"}, "dtype: 'int8' is not one of auto, float32"),
])  # fmt: skip
def test_device_or_dtype_that_is_not_there_is_an_error(argument, message):
    with pytest.raises(ValueError, match=message):
        load("tiny", **argument)
