"""`ojito settings`: every key of a recipe, with type, default and what it does."""

import json

import yaml

from ojito.config import Config
from ojito.settings import override, read


def test_group_is_listed_with_type_default_and_description(run):
    code, out, err = run("settings", "train")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("train: ")
    assert "  train.lr=0.001  (number)" in lines
    assert '  train.schedule="cosine"  (one of cosine, wsd)' in lines
    assert "Peak learning rate" in lines[lines.index("  train.lr=0.001  (number)") + 1]
    assert not any(line.startswith("  data.") for line in lines)


def test_kinds_of_a_group_are_listed_apart(run):
    out = run("settings", "model.vision")[1]
    assert [line for line in out.splitlines() if line.startswith("model.vision")] == [
        "model.vision, kind: vit",
        "model.vision, kind: resnet",
        "model.vision, kind: efficientnet",
        "model.vision, kind: none",
    ]
    assert "  model.vision.stem_width=64  (whole number)" in out


def test_without_a_group_every_key_of_a_recipe_is_listed(run):
    keys = {setting["key"] for setting in json.loads(run("settings", "--json")[1])}

    def leaves(values, key=""):
        for name, value in values.items():
            yield from leaves(value, f"{key}{name}.") if isinstance(value, dict) else [f"{key}{name}"]

    recipe = yaml.safe_load(run("train", "--print-config")[1])
    assert set(leaves(recipe)) <= keys


def test_json_has_every_field(run):
    (setting,) = json.loads(run("settings", "train.lr", "--json")[1])
    assert {name: setting[name] for name in ("key", "type", "default", "kind")} == {
        "key": "train.lr", "type": "number", "default": 0.001, "kind": "",
    }  # fmt: skip
    assert setting["about"].startswith("Peak learning rate")


def test_listed_default_can_be_typed_as_it_stands(run):
    for setting in json.loads(run("settings", "--json")[1]):
        if setting["kind"] in ("", "vit", "none"):
            read(Config, override({}, [f"{setting['key']}={json.dumps(setting['default'])}"]))


def test_unknown_group_names_the_nearest(refused):
    assert "tran: is neither a group of settings nor a setting; did you mean train?" in refused("settings", "tran")
    assert "did you mean model.decoder?" in refused("settings", "model.decodr")
    assert "did you mean train.lr?" in refused("settings", "train.lrr")
    assert "choose from model, model.vision," in refused("settings", "zzzzzz")
