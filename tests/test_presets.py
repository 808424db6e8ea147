import pytest

from ojito.config import Config
from ojito.model import VLM
from ojito.model.meta import shapes_only
from ojito.presets import PRESETS, describe, preset, settings_of
from ojito.settings import ConfigError, read, write


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(name):
    with shapes_only():
        return VLM(preset(name).model)


PUBLISHED = {
    "nanovlm-222m": 222_081_600,
    "nanovlm-460m-8k": 460_113_984,
    "paligemma-3b-224": 2_923_466_480,
    "paligemma-3b-448": 2_924_351_216,
    "paligemma-3b-896": 2_927_890_160,
    "paligemma2-3b": 3_032_242_416,
    "paligemma2-10b": 9_662_638_832,
    "paligemma2-28b": 27_650_487_024,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_has_the_published_number_of_parameters(name):
    assert count(on_meta(name)) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "part", "published"),
    [
        ("minimal-gpt", "decoder", 124_439_808),  # GPT-2 small
        ("minimal-gpt", "vision", 85_798_656),  # ViT-B/16 without its classification head
        ("minimal-resnet", "vision", 23_508_032),  # ResNet-50 without its classification head
        ("minimal-smol", "decoder", 134_515_008),  # SmolLM2-135M
    ],
)
def test_part_has_the_published_number_of_parameters(name, part, published):
    assert count(on_meta(name).parts[part]) == published


def test_vit_llama_96_adds_up():
    model = on_meta("vit-llama-96")
    encoder_layer = 4 * (512 * 512 + 512) + (512 * 2048 + 2048) + (2048 * 512 + 512) + 2 * 2 * 512
    vision = (3 * 16 * 16 * 512 + 512) + (36 + 1) * 512 + 512 + 16 * encoder_layer + 2 * 512
    decoder_layer = 4 * 128 * 128 + 3 * 128 * 11008 + 2 * 128
    decoder = 32000 * 128 + 8 * decoder_layer + 128
    assert count(model.parts["vision"]) == vision
    assert count(model.parts["connector"]) == 512 * 128 + 128
    assert count(model.parts["decoder"]) == decoder


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("paligemma-3b-224", 256), ("paligemma-3b-896", 4096), ("nanovlm-222m", 49), ("nanovlm-460m-8k", 64), ("tiny", 9)],
)
def test_image_takes_the_known_number_of_tokens(name, tokens):
    assert preset(name).model.image_tokens == tokens


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_says_what_it_is_and_survives_writing(name):
    config = preset(name)
    assert config.name == name
    assert describe(name)
    assert read(Config, write(config)) == config
    assert count(on_meta(name)) > 0


def test_names_begin_with_those_for_drawn_scenes_and_end_with_the_largest():
    assert PRESETS[:2] == ("tiny", "scenes")
    assert PRESETS[-1] == max(PRESETS, key=lambda name: count(on_meta(name)))


def test_setting_wins_over_the_preset():
    assert preset("tiny", ["train.lr=5e-4"]).train.lr == 5e-4


def test_changing_the_settings_of_a_preset_leaves_the_preset_alone():
    settings_of("tiny")["model"]["decoder"]["layers"] = 99
    assert preset("tiny").model.decoder.layers != 99


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="'tinny' is not one; did you mean tiny"):
        preset("tinny")


def test_steps_alone_replace_the_minutes_of_a_preset():
    assert (preset("tiny", ["train.steps=9"]).train.steps, preset("tiny", "train.steps=9").train.minutes) == (9, 0)
    assert preset("tiny", ["train.lr=1"]).train.minutes == 2


def test_recipe_in_a_file_is_a_preset(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("preset: tiny\nname: other\ntrain: {steps: 7}")
    config = preset(str(path), ["train.lr=1"])
    assert (config.name, config.train.steps, config.train.minutes, config.train.lr) == ("other", 7, 0, 1)
    assert config.model == preset("tiny").model
    path.write_text("train: {steps: 7}")
    assert preset(str(path)) == read(Config, {"name": "mine", "train": {"steps": 7}})
    path.write_text("preset: tny")
    with pytest.raises(ConfigError, match=r"mine.yaml: preset: 'tny' is not one; did you mean tiny\?"):
        preset(str(path))
    path.unlink()
    with pytest.raises(ConfigError, match="is not one"):
        preset(str(path))
