"""`ojito.build`: the model that is made of public parts, saved and trained."""

import dataclasses
import itertools
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from ojito.checkpoint.folder import describe_part
from ojito.config import ConnectorConfig, PixelShuffleConfig, TokenizerConfig
from ojito.loading import load, load_for, recipe_of
from ojito.records import Sample, Turn
from ojito.trainer import TrainState, fit
from tests.public_parts import NAMES, TOWER, same, save_decoder, save_tower


def test_built_model_has_the_weights_of_its_parts_and_a_fresh_connector(join, parts):
    state = join().model.state_dict()
    tower, decoder = describe_part(parts / "siglip", "vision").keys, describe_part(parts / "smollm", "decoder").keys
    for kind, keys, folder in (("vision", tower, "siglip"), ("decoder", decoder, "smollm")):
        theirs = load_file(parts / folder / "model.safetensors")
        mine = keys.to_theirs({name: tensor for name, tensor in state.items() if name.startswith(f"{kind}.")})
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())
    fresh = {name: tensor for name, tensor in state.items() if name.startswith("connector.")}
    assert fresh["connector.project.0.weight"].std() > 0.05
    assert not fresh["connector.project.0.bias"].any()


def test_built_model_answers_about_the_image(join, image):
    pipe = join()
    answer = pipe.ask(image, "what is it?", max_new_tokens=6)
    assert answer == pipe.ask(image, "what is it?", max_new_tokens=6)
    batches = [pipe.processor([Sample([shown], "what is it?")]) for shown in (image, image.rotate(90))]
    with torch.inference_mode():
        here, there = (pipe.model(batch)[0, -1] for batch in batches)
    assert not torch.allclose(here, there)


def test_recipe_is_of_the_parts(join, parts):
    config = join().config
    assert config.name == "siglip-smollm"
    tower = dataclasses.replace(TOWER, feature_layer=-2)  # as LLaVA reads it
    assert (config.model.vision, config.model.decoder) == (tower, describe_part(parts / "smollm", "decoder").config)
    assert config.model.connector == ConnectorConfig(project="mlp", mlp_dim=config.model.decoder.width)
    assert config.train.connector_lr > config.train.lr
    assert config.train.vision_lr == config.train.decoder_lr == 0  # as train.lr
    tokenizer = TokenizerConfig(kind="file", path=str(parts / "smollm" / "tokenizer.json"), **NAMES)
    assert config.processor.tokenizer == tokenizer
    prompt = config.processor.prompt
    assert (prompt.image, prompt.user, prompt.separator, prompt.bos) == (
        "front",
        "",
        "\n",
        False,
    )  # its tokenizer writes no first token


@pytest.mark.parametrize(
    ("like", "connector", "expected"),
    [
        ("llava", None, ConnectorConfig(project="mlp")),
        ("paligemma", None, ConnectorConfig()),
        ("idefics3", None, PixelShuffleConfig(bias=False)),
        ("idefics3", "pixel_shuffle:4", PixelShuffleConfig(factor=4, bias=False)),
        ("", None, ConnectorConfig(project="mlp")),
    ],
)
def test_family_that_a_build_follows_has_its_connector(join, image, like, connector, expected):
    pipe = join(like=like, connector=connector)
    assert pipe.model.config.connector == dataclasses.replace(expected, mlp_dim=pipe.model.config.decoder.width)
    pipe.caption(image, max_new_tokens=2)


@pytest.mark.parametrize(
    ("connector", "settings", "layer"),
    [
        ("mlp", [], -2),
        ("mlp", ["model.vision.feature_layer=-1"], -1),
        ("linear", [], -1),
        ("linear", ["model.connector.project=mlp"], -2),
        ("mlp", ["model.decoder.mask=prefix"], -1),
    ],
)
def test_tower_is_read_as_llava_reads_it_where_the_model_is_of_its_plan(join, connector, settings, layer):
    assert join(connector=connector, settings=settings).model.config.vision.feature_layer == layer


def test_images_are_prepared_as_the_tower_knows_them(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 1, "size": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    image = join(vision=folder).config.processor.image
    assert (image.mean, image.std, image.resample) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "lanczos")


def test_tower_of_clip_crops_and_reads_the_layer_before_the_last(join, tmp_path):
    config = dataclasses.replace(
        TOWER, class_token=True, pre_norm=True, stem_bias=False, feature_layer=-2, activation="quick_gelu"
    )
    folder = save_tower(tmp_path / "clip", config, "clip_vision_model")
    (folder / "preprocessor_config.json").write_text('{"size": 16, "crop_size": 16}')  # as in CLIP's own folder
    pipe = join(vision=folder)
    assert pipe.config.processor.image.fit == "crop"
    assert pipe.model.config.vision.feature_layer == -2
    assert join(vision=tmp_path / "clip", settings=["model.vision.feature_layer=-1"]).model.config.image_tokens == 16


def test_tower_of_siglip2_reads_images_of_another_size_when_asked(join, tmp_path, image):
    config = dataclasses.replace(TOWER, positions="resized", position_grid=4)
    folder = save_tower(tmp_path / "naflex", config, "siglip2_vision_model")
    pipe = join(vision=folder, settings=["model.vision.image_size=24"])
    assert pipe.processor.image_size == 24
    assert pipe.model.config.image_tokens == 36
    pipe.caption(image, max_new_tokens=2)


def test_saved_model_loads_the_same(join, tmp_path, image):
    pipe = join(connector="pixel_shuffle:2")
    pipe.save(tmp_path / "new")
    loaded = load(tmp_path / "new", dtype="float32", device="cpu")
    assert same(loaded.model, pipe.model)
    assert (loaded.name, loaded.config, loaded.model.config) == (pipe.name, pipe.config, pipe.model.config)
    assert loaded.ask(image, "what?", max_new_tokens=9) == pipe.ask(image, "what?", max_new_tokens=9)


def test_saved_model_does_not_need_its_parts(join, tmp_path, image):
    folders = save_tower(tmp_path / "tower"), save_decoder(tmp_path / "decoder")
    join(vision=folders[0], decoder=folders[1]).save(tmp_path / "new")
    for folder in folders:
        shutil.rmtree(folder)
    load(tmp_path / "new").caption(image, max_new_tokens=2)
    load_for(recipe_of(tmp_path / "new"), tmp_path / "new", "cpu")


def test_training_learns_and_leaves_the_files_of_the_parts_alone(join, parts, image):
    before = [(parts / name / "model.safetensors").read_bytes() for name in ("siglip", "smollm")]
    settings = ["train.steps=3", "train.batch_size=1", "train.log_every=1", "train.warmup=0"]
    pipe = join(settings=[*settings, "model.vision.feature_layer=-1"])  # with all layers
    start = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
    batch = pipe.processor([Sample([image], turns=(Turn("what?", ("a red ball",)),))], training=True)
    history = fit(TrainState(pipe.model, pipe.config.train), itertools.repeat(batch), quiet=True)
    assert history.log[-1]["loss"] < history.log[0]["loss"]
    assert all(not torch.equal(tensor, start[name]) for name, tensor in pipe.model.state_dict().items())
    moved = {
        part: max(float((t - start[n]).abs().max()) for n, t in pipe.model.state_dict().items() if n.startswith(part))
        for part in ("vision", "connector", "decoder")
    }
    assert moved["connector"] > 5 * max(moved["vision"], moved["decoder"])
    assert [(parts / name / "model.safetensors").read_bytes() for name in ("siglip", "smollm")] == before
