"""A folder is described once: its config.json and the headers of its weights are parsed once, and passed down."""

import json
import shutil
from collections import Counter

import pytest
import torch
from PIL import Image

import ojito
from ojito.checkpoint import files
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe, describe_part
from ojito.checkpoint.tensors import header as headers
from ojito.learned import Learned
from ojito.loading import check_settings
from ojito.records import Sample
from tests.hostile.good_folders import make

ONCE = {"config.json": 1, "header": 1}


@pytest.fixture(params=["own", "llava"])
def folder(request, tmp_path):
    """A folder of Ojito's form, and one of Hugging Face's."""
    make(tmp_path / "model", request.param)
    return tmp_path / "model"


@pytest.fixture
def parsed(monkeypatch, folder):
    """How many times this folder's config.json and the header of its weights were parsed."""
    counts, decode_json = Counter(), files.decode_json
    config = (folder / "config.json").read_bytes()
    weights = (folder / "model.safetensors").read_bytes()
    header = weights[8 : 8 + int.from_bytes(weights[:8], "little")]

    def decode(raw, most):
        name = {config: "config.json", header: "header"}.get(raw)
        counts.update([name] if name else [])
        return decode_json(raw, most)

    monkeypatch.setattr(files, "decode_json", decode)
    monkeypatch.setattr(headers, "decode_json", decode)
    return counts


def test_load_parses_config_and_header_once(folder, parsed):
    ojito.load(folder, "cpu", "float32")
    assert parsed == ONCE


def test_train_from_parses_config_and_header_once(folder, parsed, run, tmp_path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": "red.png", "caption": "red", "split": "train"}))
    words = ("--data", tmp_path / "captions.jsonl", "--steps", 1, "train.batch_size=1", "--device", "cpu")
    assert run("train", "--from", folder, *words, "--out", tmp_path / "out")[0] == 0
    assert parsed == ONCE


@pytest.mark.parametrize("form", ["ojito", "huggingface"])
def test_convert_parses_config_and_header_once(folder, parsed, run, tmp_path, form):
    run("convert", folder, "--to", form, "--out", tmp_path / "out")
    assert parsed == ONCE


def test_info_parses_config_and_header_once(folder, parsed, run):
    assert run("info", folder)[0] == 0
    assert parsed == ONCE


def test_settings_are_checked_before_the_weights_are_there_and_without_their_header(folder, parsed):
    (folder / "model.safetensors").unlink()
    assert check_settings(folder).path == folder
    assert parsed == {"config.json": 1}


def test_folder_whose_name_is_not_utf8_loads_and_only_a_recipe_cannot_name_its_tokenizer(tmp_path, latin1):
    make(tmp_path / "own", "own")
    shutil.copytree(tmp_path / "own", latin1, dirs_exist_ok=True)
    expected = ojito.load(tmp_path / "own", "cpu", "float32").model.state_dict()
    found = ojito.load(latin1, "cpu", "float32").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    with pytest.raises(CheckpointError, match="has a name that is not UTF-8"):
        describe_part(latin1, "decoder")


def test_public_model_is_written_where_the_name_is_not_utf8_and_read_under_another(tmp_path, latin1):
    make(tmp_path / "llava", "llava")
    pipe = ojito.load(tmp_path / "llava", "cpu", "float32")
    assert pipe.export(latin1 / "out").family == "llava"
    with pytest.raises(CheckpointError, match=r"has a name that is not UTF-8.*; rename it"):
        describe(latin1 / "out")
    (latin1 / "out").rename(tmp_path / "renamed")
    assert describe(tmp_path / "renamed").model == pipe.model.config


def test_export_keeps_what_was_learned(tmp_path):
    make(tmp_path / "llava", "llava")
    pipe = ojito.load(tmp_path / "llava", "cpu", "float32")
    pipe.learned = Learned.of([Sample([b"a"])])
    pipe.export(tmp_path / "out")
    assert ojito.load(tmp_path / "out", "cpu", "float32").learned == pipe.learned
