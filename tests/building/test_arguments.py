"""The arguments of `ojito.build`."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

import ojito
from ojito import loading
from ojito.config import AveragePoolConfig, ConnectorConfig, PerceiverConfig, PixelShuffleConfig
from tests.public_parts import same, save_tower


def test_vision_and_decoder_change_the_model(join, parts, tmp_path):
    pipe = join()
    other = join(vision=save_tower(tmp_path / "other", seed=9))
    assert not same(pipe.model.vision, other.model.vision)
    assert same(pipe.model.connector, other.model.connector)
    assert same(pipe.model.decoder, other.model.decoder)
    assert join(decoder=parts / "gpt2").model.config.decoder.positions == "learned"


def test_seed_draws_the_connector_and_nothing_else(join):
    state = torch.random.get_rng_state()
    one, again, other = join(), join(), join(seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(one.model, again.model)
    assert not same(one.model.connector, other.model.connector)
    assert same(one.model.vision, other.model.vision)
    assert same(one.model.decoder, other.model.decoder)


def test_dtype_is_that_of_all_weights(join, image):
    pipe = join(dtype="bfloat16")
    assert {tensor.dtype for tensor in pipe.model.state_dict().values()} == {torch.bfloat16}
    pipe.caption(image, max_new_tokens=2)


def test_weights_in_bfloat16_become_float32_when_asked(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in weights.items()}, folder / "model.safetensors")
    assert {tensor.dtype for tensor in join(vision=folder).model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("connector", "expected", "tokens"),
    [
        ("linear", ConnectorConfig(), 16),
        ("mlp", ConnectorConfig(project="mlp"), 16),
        ("perceiver:5", PerceiverConfig(queries=5), 5),
        ("pixel_shuffle:2", PixelShuffleConfig(factor=2, bias=False), 4),
        ("average_pool:4", AveragePoolConfig(factor=4), 1),
        ({"project": "mlp", "mlp_dim": 7}, ConnectorConfig(project="mlp", mlp_dim=7), 16),
        (ConnectorConfig(norm="rms"), ConnectorConfig(norm="rms"), 16),
    ],
    ids=["linear", "mlp", "perceiver", "pixel_shuffle", "average_pool", "mapping", "config"],
)
def test_connector_is_the_one_that_is_named(join, image, connector, expected, tokens):
    pipe = join(connector=connector)
    expected = dataclasses.replace(expected, mlp_dim=expected.mlp_dim or pipe.model.config.decoder.width)
    assert pipe.model.config.connector == pipe.config.model.connector == expected
    assert pipe.processor.image_tokens == pipe.model.config.image_tokens == tokens
    pipe.caption(image, max_new_tokens=2)


def test_one_setting_may_be_alone(join):
    assert join(settings="train.lr=0.25").config.train.lr == 0.25


def test_settings_change_the_recipe(join):
    settings = ["name=mine", "train.lr=0.5", "processor.prompt.separator='?'", "model.connector.project=linear"]
    pipe = join(settings=settings)
    assert (pipe.name, pipe.config.train.lr, pipe.config.processor.prompt.separator) == ("mine", 0.5, "?")
    assert isinstance(pipe.model.connector.project, torch.nn.Linear)


def test_tower_of_a_preset_begins_with_random_weights(join):
    pipe, other = join(vision="tiny", connector="linear"), join(vision="tiny", connector="linear", seed=1)
    tower, image = ojito.preset("tiny").model.vision, ojito.preset("tiny").processor.image
    assert (pipe.config.model.vision, pipe.config.processor.image) == (tower, image)
    assert pipe.name == "tiny-smollm"
    assert not same(pipe.model.vision, other.model.vision)
    assert same(pipe.model.decoder, other.model.decoder)
    assert pipe.config.train.vision_lr > pipe.config.train.lr


def test_parts_of_the_hub_are_fetched_and_progress_hears_of_it(join, parts, monkeypatch):
    def download(name, progress, check):
        progress(1, len(name))
        return parts / name.partition("/")[2]

    monkeypatch.setattr(loading, "download", download)
    heard = []
    pipe = join(vision="google/siglip", decoder="hub/gpt2", progress=lambda done, total: heard.append(total))
    assert heard[:2] == [13, 8]  # and then of the weights
    assert same(pipe.model, join(decoder=parts / "gpt2").model)


def test_parts_of_a_saved_model_are_its_own(join, tmp_path, image):
    first = join(settings=["processor.image.fit=pad", "processor.tokenizer.special=[<extra>]"])
    first.save(tmp_path / "first")
    pipe = join(vision=tmp_path / "first", decoder=tmp_path / "first", connector="linear")
    assert same(first.model.vision, pipe.model.vision)
    assert same(first.model.decoder, pipe.model.decoder)
    assert pipe.config.processor.image == first.config.processor.image
    assert pipe.processor.tokenizer.parse("<extra>") == first.processor.tokenizer.parse("<extra>")
    assert (pipe.name, pipe.config.processor.prompt.bos) == ("siglip-smollm-siglip-smollm", False)
