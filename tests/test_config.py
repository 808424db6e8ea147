"""Settings: what a mapping becomes, and the one line that each mistake gets."""

import dataclasses
import pickle
import subprocess
import sys

import pytest
import yaml

from ojito import config as module
from ojito.config import (
    Config,
    ConfigError,
    ModelConfig,
    ResNetConfig,
    ViTConfig,
    merge,
    override,
    read,
    read_yaml,
    write,
)


def nested(dotted, value):
    for name in reversed(dotted.split(".")):
        value = {name: value}
    return value


# ------------------------------------------------------------------------------------------------- reading and writing


def test_empty_mapping_is_all_defaults():
    assert read(Config, {}) == Config()


def test_config_roundtrips_through_a_mapping_and_yaml():
    config = read(
        Config, {"name": "x", "model": {"vision": {"kind": "resnet", "image_size": 64}}, "train": {"lr": 3e-4}}
    )
    assert read(Config, write(config)) == config
    assert read(Config, yaml.safe_load(yaml.safe_dump(write(config)))) == config


def test_written_config_is_plain_values_only():
    def check(value):
        assert type(value) in (dict, list, str, int, float, bool)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    check(write(Config()))


def test_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().name = "other"


def test_vision_kind_chooses_the_dataclass():
    assert isinstance(read(ModelConfig, {"vision": {"kind": "resnet"}}).vision, ResNetConfig)
    assert isinstance(read(ModelConfig, {"vision": {"image_size": 64}}).vision, ViTConfig)


def test_whole_number_is_a_float_where_one_is_wanted():
    lr = read(Config, {"train": {"lr": 1}}).train.lr
    assert lr == 1.0
    assert isinstance(lr, float)


def test_lists_become_tuples():
    assert read(Config, {"train": {"betas": [0.9, 0.99]}}).train.betas == (0.9, 0.99)


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("trian", {}, "trian: unknown setting; did you mean train?"),
        ("train.lrr", 1, "train.lrr: unknown setting; did you mean lr?"),
        ("train.zzz", 1, "train.zzz: unknown setting; known are steps, minutes,"),
        ("train", 5, "train: 5 is not a mapping of settings to values"),
        ("train.steps", "many", "train.steps: 'many' is not a whole number"),
        ("train.steps", 1.5, "train.steps: 1.5 is not a whole number"),
        ("train.steps", True, "train.steps: True is not a whole number"),
        ("train.steps", None, "train.steps: None is not a whole number"),
        ("train.lr", "fast", "train.lr: 'fast' is not a number"),
        ("model.decoder.bias", 1, "model.decoder.bias: 1 is not true or false"),
        ("name", 3, "name: 3 is not text"),
        ("train.betas", 0.9, "train.betas: 0.9 is not a list; write [0.9]"),
        ("train.betas", [0.9], "train.betas: [0.9] has 1 entries, not 2"),
        ("train.betas", [0.9, "x"], "train.betas[1]: 'x' is not a number"),
        ("train.schedule", "cosin", "train.schedule: 'cosin' is not one of cosine, wsd; did you mean cosine?"),
        (
            "train.freeze",
            ["visoin"],
            "train.freeze[0]: 'visoin' is not one of vision, connector, decoder; did you mean",
        ),
        ("train.lr", 0, "train.lr: 0.0 must be greater than 0"),
        ("train.steps", 0, "train.steps: 0 and minutes 0.0 leave no training; set one of them"),
        ("train.freeze", ["vision", "connector", "decoder"], "leaves nothing to train; leave one part out"),
        ("train.warmup", 1, "train.warmup: 1.0 must be at least 0 and less than 1"),
        ("train.accumulate", 5, "train.batch_size: 32 is not divisible by accumulate 5; use 30 or 35"),
        ("model.vision.kind", "swin", "model.vision.kind: 'swin' is not one of vit, resnet; choose one of these"),
        ("model.vision", "vit", "model.vision: 'vit' is not a mapping of settings to values"),
        (
            "model.vision.heads",
            7,
            "model.vision.width: 768 is not divisible by heads 7; use 763 or 770, or change heads",
        ),
        (
            "model.vision.image_size",
            100,
            "model.vision.image_size: 100 is not divisible by patch_size 16; use 96 or 112",
        ),
        ("model.vision.image_size", 3, "use 16 or 32"),
        ("model.decoder.heads", 7, "model.decoder.width: 768 is not divisible by heads 7"),
        ("model.decoder.kv_heads", 5, "model.decoder.heads: 12 is not divisible by kv_heads 5"),
        ("model.decoder.head_dim", 33, "model.decoder.head_dim: 33 must be even for positions=rope; use 34"),
        ("model.connector", {"reduce": "pixel_shuffle", "factor": 3}, "model.connector.factor: 3"),
        ("model.connector", {"reduce": "average_pool"}, "model.connector.factor: 1 reduces nothing"),
        ("processor.image.std", [0.5, 0.0, 0.5], "processor.image.std: [0.5, 0.0, 0.5] must be greater than 0"),
        ("processor.tokenizer.kind", "file", "processor.tokenizer.path: '' names no file"),
        ("data.max_bad", 2, "data.max_bad: 2.0 must lie between 0 and 1"),
    ],
)
def test_mistake_names_the_key_the_value_and_the_remedy_in_one_line(key, value, said):
    with pytest.raises(ConfigError) as error:
        read(Config, nested(key, value))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_mapping_that_is_none_is_named():
    with pytest.raises(ConfigError, match="config: None is not a mapping"):
        read(Config, None)


# ----------------------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("3e-4", 3e-4),
        ("1E+2", 100.0),
        (".5e1", 5.0),
        ("-2.5e-3", -2.5e-3),
        ("0.1", 0.1),
        ("12", 12),
        ("true", True),
        ("[1, 2e-1]", [1, 0.2]),
        ("text", "text"),
        ("", None),
        ("a=b", "a=b"),
        ("'12'", "12"),
        ("{a: 1e-3}", {"a": 1e-3}),
    ],
)
def test_override_reads_the_value_as_yaml_with_todays_floats(text, value):
    assert override({}, [f"a.b={text}"]) == {"a": {"b": value}}


def test_later_override_wins_and_its_neighbours_stay():
    values = {"train": {"lr": 1, "steps": 5}}
    assert override(values, ["train.lr=2", "train.lr=3"]) == {"train": {"lr": 3, "steps": 5}}
    assert values == {"train": {"lr": 1, "steps": 5}}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.lr", "train.lr: is not a setting; write key=value, for example train.lr=3e-4"),
        ("=3", "=3: is not a setting"),
        ("name.first=x", "name.first: name is a value, not a group of settings"),
        ("train.lr=[1", "train.lr: is not valid YAML in line 1"),
    ],
)
def test_override_that_cannot_be_read_is_named(setting, said):
    with pytest.raises(ConfigError) as error:
        override({"name": "a"}, [setting])
    assert said in str(error.value)


def test_merge_goes_group_by_group_and_leaves_its_arguments_alone():
    under, over = {"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3]}, "c": {"z": 1}}
    merged = merge(under, over)
    assert merged == {"a": {"x": 1, "y": [3]}, "b": 1, "c": {"z": 1}}
    merged["c"]["z"] = 2
    assert over["c"]["z"] == 1
    assert under == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


# --------------------------------------------------------------------------------------------------------------- files


def test_file_is_read_with_todays_floats(tmp_path):
    (tmp_path / "r.yaml").write_text("train:\n  lr: 1e-3\n")
    assert read_yaml(tmp_path / "r.yaml") == {"train": {"lr": 0.001}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "is not valid YAML in line 1"),
        (b"- 1", "is not a mapping of settings"),
        (b"", "is not a mapping of settings"),
        (b"\xff\xfe\xfa", "is not UTF-8 text"),
        (b"!!python/object:os.system {}", "is not valid YAML in line 1"),
        (None, "No such file"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path, content, said):
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_yaml(path)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)


# -------------------------------------------------------------------------------------------------------- image tokens


@pytest.mark.parametrize(
    ("connector", "tokens"),
    [
        ({}, 196),
        ({"reduce": "pixel_shuffle", "factor": 2}, 49),
        ({"reduce": "average_pool", "factor": 7}, 4),
        ({"reduce": "perceiver", "queries": 10}, 10),
    ],
)
def test_image_tokens_follow_from_the_model_alone(connector, tokens):
    assert read(ModelConfig, {"connector": connector}).image_tokens == tokens


def test_class_token_is_not_an_image_token():
    assert read(ModelConfig, {"vision": {"class_token": True}}).image_tokens == 196


# ------------------------------------------------------------------------------------------------------------- fitness


def test_config_error_survives_a_process():
    error = pickle.loads(pickle.dumps(ConfigError("a.b", "is wrong")))
    assert (error.key, error.problem, str(error)) == ("a.b", "is wrong", "a.b: is wrong")


def test_settings_need_no_torch():
    code = "import sys, ojito.config, ojito.records; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_dataclass_is_documented():
    every = [value for value in vars(module).values() if dataclasses.is_dataclass(value)]
    assert len(every) > 10
    assert not [value.__name__ for value in every if value.__doc__.startswith(f"{value.__name__}(")]
