"""Weights written, and read again."""

import json

import pytest
import torch

from ojito.checkpoint.files import INDEX, WEIGHTS
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.tensors.header import Entry, read_header
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.tensors.writing import write_weights
from tests.checkpoint.tensors.small import NAMED, equal, on_meta, state


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_weights_roundtrip_bit_by_bit(tmp_path, dtype):
    tensors = state(a=torch.randn(3, 4).to(dtype), empty=torch.zeros(0, 3), scalar=torch.tensor(0.5))
    write_weights(tmp_path, tensors)
    assert equal(read_weights(tmp_path, on_meta(tensors)), tensors)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]


def test_tensors_that_are_no_block_of_memory_are_written(tmp_path):
    tensors = {"a": torch.randn(4, 3).T, "b": torch.randn(6)[::2], "c": torch.nn.Parameter(torch.randn(2))}
    write_weights(tmp_path, tensors)
    assert equal(read_weights(tmp_path, tensors), {name: tensor.detach() for name, tensor in tensors.items()})


def test_header_tells_dtype_shape_and_file(folder, shards):
    assert read_header(folder)["a"] == Entry("F32", (3, 4), WEIGHTS)
    assert read_header(folder)["b.count"] == Entry("I64", (), WEIGHTS)


@pytest.mark.parametrize("max_shard", [None, 25])
def test_folder_whose_name_is_not_utf8_is_read(latin1, max_shard):
    folder = latin1
    write_weights(folder, state(), max_shard=max_shard)
    assert equal(read_weights(folder, on_meta(state())), state())
    copied = KeyMap(copies={"b.copy": "b.weight"}, constants={"b.one": lambda: torch.ones(2)})
    write_weights(folder, state(**{"b.copy": state()["b.weight"], "b.one": torch.ones(2)}))
    assert equal(read_weights(folder, on_meta(state()), keys=copied), state())


@pytest.mark.parametrize(("max_shard", "files"), [(None, 1), (76, 1), (75, 2), (28, 2), (27, 3), (1, 3)])
def test_weights_are_split_where_a_shard_would_be_too_large(tmp_path, max_shard, files):
    write_weights(tmp_path, state(), max_shard)
    written = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(written) == files
    assert (tmp_path / INDEX).exists() == (files > 1)
    if files > 1:
        assert written == [f"model-{i:05}-of-{files:05}.safetensors" for i in range(1, files + 1)]
    assert equal(read_weights(tmp_path, state()), state())


def test_index_tells_the_whole_size_and_the_file_of_each_tensor(shards):
    index = json.loads((shards / INDEX).read_text())
    assert index["metadata"] == {"total_size": 48 + 20 + 8}
    assert index["weight_map"] == {name: entry.file for name, entry in read_header(shards).items()}
    assert len(set(index["weight_map"].values())) == 3


def test_whole_file_is_read_where_there_is_an_index_too(shards):
    write_weights(shards, state(1))
    assert equal(read_weights(shards, state()), state(1))


def test_full_disk_is_an_os_error(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(OSError, match="directory"):
        write_weights(tmp_path, state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_in_the_dtype_asked_for_and_counts_stay_whole(folder, dtype):
    weights = read_weights(folder, state(), dtype)
    assert weights["a"].dtype == weights["b.weight"].dtype == dtype
    assert weights["b.count"].dtype == torch.int64
    assert torch.equal(weights["a"], state()["a"].to(dtype))


def test_weights_go_to_the_device_asked_for(folder):
    assert read_weights(folder, state(), device="meta")["a"].is_meta


def test_part_of_a_model_is_read_where_the_rest_is_ignored(folder):
    part = {"a": state()["a"]}
    assert equal(read_weights(folder, part, keys=KeyMap(ignored=(r"b\..*",))), part)


def test_weights_are_read_under_their_names_and_in_their_form(tmp_path):
    ours = {"a": torch.randn(3, 4), "b.weight": torch.randn(5)}
    theirs = {**NAMED.to_theirs(ours), "old.bias": torch.zeros(1)}
    write_weights(tmp_path, theirs)
    assert read_header(tmp_path)["theirs.x"].shape == (4, 3)
    read = read_weights(tmp_path, on_meta(ours), keys=NAMED)
    assert equal(read, ours)
    assert all(tensor.is_contiguous() for tensor in read.values())


def test_progress_hears_of_the_numbers_that_are_read(folder):
    heard = []
    read_weights(folder, on_meta(state()), progress=lambda done, total: heard.append((done, total)))
    assert heard == [(12, 18), (17, 18), (18, 18)]
