"""What training goes on with: a folder's weights, and its recipe."""

import dataclasses

import pytest
import torch

from ojito.checkpoint.description import OpenFolder
from ojito.checkpoint.files import CheckpointError
from ojito.config import Config, DataConfig
from ojito.loading import FINE_TUNING, load, load_for, recipe_of
from ojito.settings import ConfigError, override, read, write
from tests.public_parts import same


def test_recipe_of_a_folder_is_its_models_with_its_data_and_training(join, tmp_path):
    pipe = join(settings=["train.lr=0.25", "data.path=mine.jsonl"])
    pipe.save(tmp_path)
    assert recipe_of(tmp_path) == pipe.config
    (tmp_path / "recipe.yaml").unlink()
    here = dataclasses.replace(pipe.config.processor.tokenizer, path=str(tmp_path / "tokenizer.json"))
    processor = dataclasses.replace(pipe.config.processor, tokenizer=here)
    expected = dataclasses.replace(pipe.config, processor=processor, data=DataConfig(), train=FINE_TUNING)
    assert recipe_of(tmp_path) == expected


def test_load_for_has_the_weights_the_tokenizer_and_the_recipe(join, tmp_path):
    pipe = join()
    pipe.save(tmp_path)
    config = read(Config, override(write(recipe_of(tmp_path)), ["train.lr=0.25", "processor.tokenizer.special=[<x>]"]))
    loaded = load_for(config, tmp_path, "cpu")
    assert same(loaded.model, pipe.model)
    assert loaded.config == config
    assert loaded.processor.tokenizer.size == pipe.processor.tokenizer.size + 1
    assert loaded.model.decoder.embedding.weight.dtype == torch.float32


def test_progress_hears_how_much_of_the_weights_is_read(join, tmp_path):
    pipe = join()
    pipe.save(tmp_path)
    total = sum(tensor.numel() for tensor in pipe.model.state_dict().values())
    for read_model in (
        lambda tell: load(tmp_path, "cpu", progress=tell),
        lambda tell: load_for(recipe_of(tmp_path), tmp_path, "cpu", progress=tell),
    ):
        heard = []
        read_model(lambda done, whole, heard=heard: heard.append((done, whole)))
        assert heard == sorted(heard)
        assert heard[-1] == (total, total)
    heard = []
    join(progress=lambda done, whole: heard.append(done == whole))
    assert sum(heard) == 2  # both parts are whole


def test_load_for_takes_the_folders_tokenizer_though_that_came_from_elsewhere(join, tmp_path):
    pipe = join()
    pipe.save(tmp_path)
    config = read(Config, override(write(pipe.config), ["processor.tokenizer.path=gone.json"]))
    recipe = (tmp_path / "recipe.yaml").read_text().replace(pipe.config.processor.tokenizer.path, "gone.json")
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert load_for(config, tmp_path, "cpu").processor.tokenizer.size == pipe.processor.tokenizer.size


def test_load_for_sets_the_seed_of_the_training(join, tmp_path):
    join().save(tmp_path)
    config = recipe_of(tmp_path)
    drawn = []
    for seed in (3, 3, 4):
        load_for(dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed)), tmp_path, "cpu")
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1] != drawn[2]


def test_load_for_takes_dropout_and_names_what_cannot_change(join, tmp_path):
    join().save(tmp_path)

    def with_setting(setting):
        return load_for(read(Config, override(write(recipe_of(tmp_path)), [setting])), tmp_path, "cpu")

    assert with_setting("model.decoder.dropout=0.5").model.decoder.dropout.share == 0.5
    with pytest.raises(CheckpointError, match=r"does not fit.*and leave model\.decoder\.mlp_dim at 40$"):
        with_setting("model.decoder.mlp_dim=48")
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size: 99 asks for another tokenizer.*leave it at 0"):
        with_setting("processor.tokenizer.vocab_size=99")


def test_model_of_the_hub_is_called_as_the_hub_calls_it(tmp_path):
    snapshot = tmp_path / "models--google--siglip-base" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    assert OpenFolder(snapshot).name == "siglip-base"
    assert OpenFolder(tmp_path).name == tmp_path.name
