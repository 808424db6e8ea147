"""Weights in several files, and the index of them."""

import json

import pytest
import torch

from ojito.checkpoint.files import INDEX, WEIGHTS, CheckpointError
from ojito.checkpoint.tensors import header
from ojito.checkpoint.tensors.header import MAX_SHARDS, MAX_TENSORS, read_header
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.tensors.writing import write_weights
from tests.checkpoint.tensors.small import state


def reindex(folder, change):
    values = json.loads((folder / INDEX).read_text())
    change(values["weight_map"])
    (folder / INDEX).write_text(json.dumps(values))


@pytest.mark.parametrize("name", [
    "../x.safetensors", "/x.safetensors", "a/x.safetensors", "..\\x.safetensors", "C:x.safetensors", "x.bin", "",
    ".x.safetensors", "x\n.safetensors", 3, None, ["x"],
])  # fmt: skip
def test_shard_that_is_no_plain_name_is_refused(shards, name):
    reindex(shards, lambda names: names.update(a=name))
    with pytest.raises(CheckpointError, match=r"index\.json: names .*, which is no plain name of a \*\.safetensors"):
        read_header(shards)


@pytest.mark.parametrize("weight_map", [None, [], "x", 3, {}])
def test_index_without_a_map_is_an_error(shards, weight_map):
    (shards / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"has no weight_map of names to files; copy it again"):
        read_header(shards)


def test_missing_shard_is_named(shards):
    (shards / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model-00002-of-00003\.safetensors"):
        read_header(shards)


@pytest.mark.parametrize(
    "change",
    [
        lambda names: names.update({"lm_head.weight": names["a"]}),
        lambda names: names.update(a=names["c"]),
        lambda names: names.update(a=names["c"], c=names["a"]),
        lambda names: names.pop("a"),
    ],
)
def test_shards_are_believed_where_the_index_says_otherwise(tmp_path, change):
    write_weights(tmp_path, {name: torch.full((2,), float(i)) for i, name in enumerate("abcd")}, max_shard=16)
    before = read_header(tmp_path)
    assert [entry.file[6:11] for entry in before.values()] == ["00001", "00001", "00002", "00002"]
    reindex(tmp_path, change)
    assert read_header(tmp_path) == before


def test_tensor_that_is_in_two_shards_is_an_error(shards):
    first, second, *_ = sorted(shards.glob("model-*.safetensors"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=rf"{second.name}: holds what {first.name} holds, too \(\w.*\); copy all"):
        read_header(shards)


def test_too_many_shards_or_tensors_are_refused_before_any_is_opened(shards):
    names = {f"t{i}": f"s{i}.safetensors" for i in range(MAX_SHARDS + 1)}
    (shards / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match="names 1001 files, more than 1000"):
        read_header(shards)
    names = {f"t{i}": "s.safetensors" for i in range(MAX_TENSORS + 1)}
    (shards / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match="names 20001 tensors, more than 20000"):
        read_header(shards)


def test_tensors_of_all_shards_together_are_counted(shards, monkeypatch):
    count = len(read_header(shards))
    monkeypatch.setattr(header, "MAX_TENSORS", count)
    assert len(read_header(shards)) == count
    reindex(shards, lambda names: [names.pop(name) for name in list(names) if name != "a" and name != "b.weight"])
    monkeypatch.setattr(header, "MAX_TENSORS", len(read_header(shards)) - 1)
    with pytest.raises(CheckpointError, match="tensors, more than"):
        read_header(shards)


def test_weights_that_do_not_fit_are_named_by_their_index(shards):
    with pytest.raises(CheckpointError, match=rf"{INDEX}: does not fit config\.json beside it: 1 missing \(c\)"):
        read_weights(shards, state(c=torch.zeros(1)))


@pytest.mark.parametrize("name", [WEIGHTS, "model-00001-of-00003.safetensors"])
def test_link_out_of_the_folder_is_refused(tmp_path, name):
    model = tmp_path / "model"
    model.mkdir()
    write_weights(model, state(), None if name == WEIGHTS else 25)
    (model / name).rename(tmp_path / name)
    try:
        (model / name).symlink_to(tmp_path / name)
    except OSError:
        pytest.skip("links cannot be made here")
    with pytest.raises(CheckpointError, match="link to a place outside"):
        read_header(model)
