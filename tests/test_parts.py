"""Parts that a recipe begins with."""

import dataclasses

import pytest
import torch

import ojito
from ojito.checkpoint.packaged import PACKAGED, read_packaged
from ojito.config import Config, EfficientNetConfig, PretrainedConfig
from ojito.errors import OjitoError
from ojito.parts import find_part, with_pretrained
from ojito.settings import override, read, write
from ojito.training import prepare
from tests.public_parts import SMOLLM, TOWER

LITE = "efficientnet-lite0"

pytestmark = pytest.mark.skipif(PACKAGED[LITE].find() is None, reason=f"{PACKAGED[LITE].package} is not installed")


def recipe(settings=(), **pretrained):
    config = Config(pretrained=PretrainedConfig(**pretrained))
    small = ["model.decoder.width=24", "model.decoder.layers=1", "model.decoder.heads=2", "model.decoder.kv_heads=2",
             "model.decoder.head_dim=12", "model.decoder.query_scalar=12", "model.decoder.mlp_dim=24",
             "model.connector.mlp_dim=0", "model.vision.image_size=64"]  # fmt: skip
    return read(Config, override(write(config), [*small, *settings]))


def test_tower_of_the_package_index_brings_its_sizes_and_statistics():
    config = with_pretrained(recipe(vision=LITE))
    assert config.model.vision == dataclasses.replace(PACKAGED[LITE].config, image_size=64)
    assert config.processor.image.mean == (127 / 255,) * 3
    assert config.model.image_tokens == 4


def test_recipe_without_parts_stays():
    assert with_pretrained(recipe()) == recipe()


def test_head_width_is_the_recipes():
    asked = ["model.vision.kind=efficientnet", "model.vision.head_width=1280"]
    values = override(write(Config(pretrained=PretrainedConfig(LITE))), asked)
    values["model"]["vision"] = {"kind": "efficientnet", "image_size": 64, "head_width": 1280}
    assert with_pretrained(read(Config, values)).model.vision.width == 1280


def test_prepared_model_has_the_weights_of_its_parts(parts, caption_rows):
    config = with_pretrained(recipe(vision=LITE, decoder=str(parts / "smollm")))
    assert isinstance(config.model.vision, EfficientNetConfig)
    assert config.model.decoder == SMOLLM
    model, processor = prepare(config, caption_rows, "cpu")
    for name, tensor in read_packaged(LITE, "vision.").items():
        if name in model.state_dict():
            assert torch.equal(model.state_dict()[name], tensor)
    built = ojito.build(vision=LITE, decoder=parts / "smollm", dtype="float32", device="cpu")
    assert torch.equal(model.decoder.embedding.weight, built.model.decoder.embedding.weight)
    assert torch.equal(model.vision.stem.conv.weight, built.model.vision.stem.conv.weight)
    assert processor.tokenizer.encode("a cat") == built.processor.tokenizer.encode("a cat")
    ours, theirs = processor.config.prompt, built.processor.config.prompt
    assert (ours.separator, ours.user, ours.bos) == (theirs.separator, theirs.user, theirs.bos)


def test_trained_model_goes_on_from_its_own_weights_not_the_parts(parts, caption_rows, tmp_path):
    settings = ["train.steps=1", "train.batch_size=2", "train.freeze=[vision]"]
    config = recipe(settings, vision=LITE, decoder=str(parts / "smollm"))
    result = ojito.train(config, caption_rows, out=tmp_path / "one", device="cpu", quiet=True)
    again = ojito.train(
        tmp_path / "one", caption_rows, settings=["train.lr=1e-30", "train.steps=1"], device="cpu", quiet=True
    )
    ours, theirs = result.pipeline.model.state_dict(), again.pipeline.model.state_dict()
    assert all(torch.allclose(tensor, theirs[name]) for name, tensor in ours.items())


def test_part_of_no_name_is_refused():
    with pytest.raises(OjitoError, match="efficientnet-lite7: is no vision tower; did you mean efficientnet-lite"):
        find_part("vision", "efficientnet-lite7")


def test_preset_is_no_pretrained_part():
    with pytest.raises(OjitoError, match=r"pretrained\.vision: tiny is a preset, whose tower has random weights"):
        with_pretrained(recipe(vision="tiny"))


def test_tower_with_positions_decides_on_the_image_size(parts):
    assert with_pretrained(recipe(vision=str(parts / "siglip"))).model.vision == TOWER


@pytest.mark.skipif(PACKAGED["efficientnet-lite2"].find() is None, reason="its package is not installed")
@pytest.mark.parametrize("name", ["photos", "photos-smol"])
def test_presets_for_photographs_train_on_the_parts_that_they_name(name, parts, caption_rows):
    settings = ["train.steps=1", "train.minutes=0", "train.batch_size=2", "model.vision.image_size=64"]
    settings += [f"pretrained.decoder={parts / 'smollm'}"] * (name == "photos-smol")
    start = ojito.preset(name, settings)
    result = ojito.train(start, caption_rows, device="cpu", quiet=True)
    model = result.pipeline.model
    known = read_packaged("efficientnet-lite2", "vision.")
    assert torch.equal(model.vision.stages[6][0].project.conv.weight, known["vision.stages.6.0.project.conv.weight"])
    assert result.pipeline.caption(caption_rows.rows[0].images[0], max_new_tokens=3) is not None
    assert (model.config.decoder.width == SMOLLM.width) == (name == "photos-smol")
