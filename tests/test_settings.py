"""Mappings to settings and back, overrides, files: and the one line that each mistake in them gets."""

import os
import pickle

import pytest
import yaml

from ojito.config import Config, ModelConfig, ResNetConfig, ViTConfig
from ojito.errors import one_line
from ojito.settings import ConfigError, differences, merge, override, read, read_text, read_yaml, write


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


def test_kind_chooses_the_dataclass():
    assert isinstance(read(ModelConfig, {"vision": {"kind": "resnet"}}).vision, ResNetConfig)
    assert isinstance(read(ModelConfig, {"vision": {"image_size": 64}}).vision, ViTConfig)


def test_whole_number_is_a_float_where_one_is_wanted():
    lr = read(Config, {"train": {"lr": 1}}).train.lr
    assert lr == 1.0
    assert isinstance(lr, float)


def test_lists_become_tuples():
    assert read(Config, {"train": {"betas": [0.9, 0.99]}}).train.betas == (0.9, 0.99)


def test_differences_are_dotted_keys_and_both_values():
    before = read(Config, {"name": "x", "model": {"decoder": {"layers": 2}}})
    after = read(Config, {"model": {"decoder": {"layers": 3}}, "train": {"betas": [0.9, 0.99]}})
    assert list(differences(before, before, "config")) == []
    assert list(differences(before, after, "a.b")) == [
        ("a.b.name", "x", Config().name),
        ("a.b.model.decoder.layers", 2, 3),
        ("a.b.train.betas", list(Config().train.betas), [0.9, 0.99]),
    ]


def test_differences_are_of_what_both_have():
    found = list(differences(ViTConfig(image_size=32), ResNetConfig(image_size=64), "vision"))
    assert found[0] == ("vision.kind", "vit", "resnet")
    assert ("vision.image_size", 32, 64) in found
    both = set(write(ViTConfig())) & set(write(ResNetConfig()))
    assert {key.removeprefix("vision.") for key, _, _ in found} <= both


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("trian", {}, "trian: unknown setting; did you mean train?"),
        ("train.lrr", 1, "train.lrr: unknown setting; did you mean lr?"),
        ("lr", 1, "lr: unknown setting; did you mean train.lr=1?"),
        ("heads", 2, "did you mean model.vision.heads=2 or model.connector.heads=2 or model.decoder.heads=2?"),
        ("vision", {}, "vision: unknown setting; did you mean model.vision or pretrained.vision?"),
        ("model.layers", 2, "did you mean model.vision.layers=2 or"),
        ("train.zzz", 1, "train.zzz: unknown setting; known are steps, samples, minutes,"),
        ("train", 5, "train: 5 is not a mapping of settings to values"),
        ("train.steps", "many", "train.steps: 'many' is not a whole number; write for example 4"),
        ("train.steps", 1.5, "train.steps: 1.5 is not a whole number; write for example 4"),
        ("train.steps", True, "train.steps: True is not a whole number; write for example 4"),
        ("train.steps", None, "train.steps: None is not a whole number; write for example 4"),
        ("train.lr", "fast", "train.lr: 'fast' is not a number; write for example 3e-4"),
        ("train.lr", float("nan"), "train.lr: nan is not a finite number"),
        ("train.minutes", float("inf"), "train.minutes: inf is not a finite number"),
        ("train.betas", [0.9, float("-inf")], "train.betas[1]: -inf is not a finite number"),
        pytest.param("train.lr", 10**400, "is not a finite number", id="beyond floats"),
        ("model.decoder.bias", 1, "model.decoder.bias: 1 is not true or false; write one of them"),
        ("name", 3, "name: 3 is not text; write it in quotes, for example name='\"3\"'"),
        ("name", [3], "name: [3] is not text"),
        ("train.betas", 0.9, "train.betas: 0.9 is not a list; write [0.9]"),
        ("train.betas", [0.9], "train.betas: [0.9] has 1 entries, not 2"),
        ("train.betas", [0.9, "x"], "train.betas[1]: 'x' is not a number; write for example 3e-4"),
        ("train.schedule", "cosin", "train.schedule: 'cosin' is not one of cosine, wsd; did you mean cosine?"),
        (
            "train.freeze",
            ["visoin"],
            "train.freeze[0]: 'visoin' is not one of vision, connector, decoder; did you mean",
        ),
        (
            "model.vision.kind",
            "swin",
            "model.vision.kind: 'swin' is not one of vit, resnet, efficientnet, none; choose one of these",
        ),
        (
            "model.vision.kind",
            ["vit"],
            "model.vision.kind: ['vit'] is not one of vit, resnet, efficientnet, none; did you mean vit?",
        ),
        ("model.vision", "vit", "model.vision: 'vit' is not a mapping of settings to values"),
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


def test_error_survives_a_process():
    error = pickle.loads(pickle.dumps(ConfigError("a.b", "is wrong")))
    assert (error.where, error.problem, str(error)) == ("a.b", "is wrong", "a.b: is wrong")


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
        (" =3", " =3: is not a setting"),
        ("name.first=x", "name.first: name is a value, not a group of settings"),
        ("train.lr=[1", "train.lr: is not valid YAML in line 1"),
        ("name=2024-13-45", "name: is not valid YAML: month must be in 1..12"),  # looks like a date
    ],
)
def test_override_that_cannot_be_read_is_named(setting, said):
    with pytest.raises(ConfigError) as error:
        override({"name": "a"}, [setting])
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("written", "said", "meant"),
    [
        ("", "None is not text; write an empty text in quotes, for example processor.prompt.separator='\"\"'", ""),
        ("12", "12 is not text; write it in quotes, for example processor.prompt.separator='\"12\"'", "12"),
        (
            "2024-01-31",
            "datetime.date(2024, 1, 31) is not text; write it in quotes, for example "
            "processor.prompt.separator='\"2024-01-31\"'",
            "2024-01-31",
        ),
    ],
)
def test_what_yaml_does_not_read_as_text_is_text_once_the_remedy_is_followed(written, said, meant):
    with pytest.raises(ConfigError) as error:
        read(Config, override({}, [f"processor.prompt.separator={written}"]))
    assert str(error.value) == f"processor.prompt.separator: {said}"
    remedy = said.split("for example ")[1].replace("'", "")  # as a shell would
    assert read(Config, override({}, [remedy])).processor.prompt.separator == meant


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
        (b"a: 2024-13-45", "is not valid YAML: month must be in 1..12"),
        (b"- 1", "is not a mapping of settings"),
        (b"", "is not a mapping of settings"),
        (b"\xff\xfe\xfa", "is not UTF-8 text"),
        (b"!!python/object:os.system {}", "is not valid YAML in line 1"),
        (b"a: !!bool maybe", "is not valid YAML: a value does not fit its tag; correct it"),
        (b"a: &x {b: *x}", "is not valid YAML in line 1, column 11: an alias (*) is not read: write the value out"),
        (b"a: &x {b: 1}\nc: *x", "is not valid YAML in line 2, column 4: an alias (*) is not read"),
        (b"[" * 20_000, "is nested too deep to be settings; write it flat"),
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


# ------------------------------------------------------------------------------------------- what comes from anywhere


def test_text_of_a_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text("ü", encoding="utf-8")
    assert read_text(tmp_path / "a.json", 2, "copy it") == "ü"


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [
        ("a.json", 2, "a.json: has 3 bytes, more than 2; copy it"),
        ("b.json", 9, "b.json: cannot be read (No such file or directory); copy it"),
        ("latin.json", 9, "latin.json: cannot be read (is not UTF-8 text); copy it"),
        ("folder", 10**6, "folder: cannot be read (Is a directory); copy it"),
        ("a\0b", 9, r"a\x00b: cannot be read (no such path); copy it"),
    ],
)
def test_text_that_cannot_be_read_is_named(tmp_path, name, limit, said):
    (tmp_path / "a.json").write_text("abc")
    (tmp_path / "latin.json").write_bytes(b"\xe9")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as error:
        read_text(tmp_path / name, limit, "copy it")
    assert str(error.value).endswith(said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: is not a plain file; copy it"):
        read_text(tmp_path / "pipe", 9, "copy it")


@pytest.mark.parametrize(
    ("dotted", "value", "said"),
    [
        ("name", "\ud83d", "holds half a character"),
        ("train.seed", 2**200, "is too large; use a smaller number"),
        ("train.seed", 1 << 10_000, "<a number of 10001 bits> is too large"),
        ("train.lr", 1 << 10_000, "<a number of 10001 bits> is not a finite number"),
        ("train.freeze", ["x"] * 10_001, "10001 entries are more than 10000; write fewer"),
        ("train.steps", "x" * 10**6, "xxx...xxx"),
        ("train.steps", [[[[[["deep"]]]]]], "[[[[...]]]] is not a whole number"),
        ("x" * 10**6, 1, "unknown setting"),
        ("a\nb\x1b[2J", 1, r"a\nb\x1b[2J: unknown setting"),
    ],
)
def test_value_that_is_huge_or_unprintable_is_named_in_one_short_line(dotted, value, said):
    with pytest.raises(ConfigError) as error:
        read(Config, nested(dotted, value))
    assert said in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2100


def test_long_line_keeps_both_ends():
    said = one_line("begin " + "x" * 10**5 + " end")
    assert said.startswith("begin x")
    assert said.endswith("x end")
    assert len(said) < 2100
    assert one_line("short, and ü") == "short, and ü"
