"""The recipes of `benchmarks/quality`: each is read, learns, and is compared on the terms of all."""

import pytest

import ojito
from benchmarks.quality.table import table
from benchmarks.quality.terms import ARCHITECTURES, DATA, architectures, settings

NAMES = [*architectures()]
FROM_SCRATCH = [name for name in NAMES if name != "photos"]


@pytest.mark.parametrize("data", DATA.values(), ids=lambda data: data.name)
@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_read_on_the_terms_of_all(name, data):
    config = ojito.preset(str(ARCHITECTURES / f"{name}.yaml"), settings(name, data))
    side = 160 if name == "photos" else int(data.settings[0].partition("=")[2])
    assert config.model.vision.image_size == side
    assert config.train.threads == 1
    assert config.data.flip == ("data.flip=true" in data.settings)


@pytest.mark.parametrize("name", FROM_SCRATCH)
def test_recipe_learns(name, tmp_path):
    path = str(ARCHITECTURES / f"{name}.yaml")
    steps = ["train.steps=2", "train.batch_size=2", "train.eval_samples=1"]
    result = ojito.train(path, "scenes", out=tmp_path / "out", settings=[*settings(name, DATA["scenes"]), *steps])
    assert result.history.steps == 2


def test_what_a_recipe_sets_itself_stands():
    assert settings("tiny", DATA["scenes"])[0] == "model.vision.image_size=48"
    assert not any(one.startswith("model.vision.image_size") for one in settings("photos", DATA["scenes"]))


def test_table_has_a_row_for_each_architecture_and_the_best_on_the_last_data_first():
    gap = {"difference": 0.5, "low": 0.4, "high": 0.6, "p": 0.0}
    cell = {"low": 0.1, "high": 0.9, "parameters": 1e6, "above_exchanged": gap}
    rows = [
        {"name": "tiny", "data": "scenes", "score": 0.75, **cell},
        {"name": "tiny", "data": "flickr", "score": 0.2, **cell},
        {"name": "paligemma", "data": "flickr", "score": 0.3, **cell},
    ]
    lines = table(rows).splitlines()
    assert lines[0] == "| architecture | parameters | scenes: right | by looking | flickr: CIDEr-D | by looking |"
    assert lines[2] == "| `paligemma` | 1.00M |  |  | 0.300 (0.100 to 0.900) | +0.500 |"
    assert lines[3].startswith("| `tiny` | 1.00M | 0.750 (0.100 to 0.900) | +0.500 |")
    assert lines[5].startswith("- `paligemma`: ")
