"""Files that are truncated, damaged or hostile."""

import json
import struct

import pytest
import torch

from ojito.checkpoint.files import WEIGHTS, CheckpointError
from ojito.checkpoint.tensors.header import MAX_NAME, MAX_TENSORS, read_header
from ojito.checkpoint.tensors.reading import read_weights
from tests.checkpoint.tensors.small import state


def test_file_truncated_anywhere_is_an_error(folder):
    whole = (folder / WEIGHTS).read_bytes()
    for length in range(len(whole)):
        (folder / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            read_weights(folder, state())


def test_byte_changed_anywhere_in_the_header_is_an_error_or_changes_no_shape(folder):
    whole = (folder / WEIGHTS).read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        changed = bytearray(whole)
        changed[place] ^= 0x21
        (folder / WEIGHTS).write_bytes(changed)
        try:
            weights = read_weights(folder, state())
        except CheckpointError:
            continue
        assert {key: tensor.shape for key, tensor in weights.items()} == {k: t.shape for k, t in state().items()}


def header(folder, values, data=b""):
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(shape=(1,), start=0, end=4, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b"", "damaged header"),
        (b"[" * 100_000, "damaged header"),
        (b"\xff\xfe", "damaged header"),
        (b"[]", "damaged header"),
        (b'"a"', "damaged header"),
        ({"a": None}, "damaged header"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "damaged header"),
        ({"a": entry(shape=[-1])}, "damaged header"),
        ({"a": entry(shape=[1.5])}, "damaged header"),
        ({"a": entry(shape=[True])}, "damaged header"),
        ({"a": entry(shape=[2])}, "damaged header"),
        ({"a": entry(shape=[2**62])}, "damaged header"),
        ({"a": entry(shape=[2**32] * 3)}, "damaged header"),
        ({"a": entry(shape=[1] * 9)}, "damaged header"),
        ({"a": entry(dtype="F16")}, "damaged header"),
        ({"a": {**entry(), "dtype": 3}}, "damaged header"),
        ({"a": {**entry(), "data_offsets": []}}, "damaged header"),
        ({"a": {**entry(), "data_offsets": [0, 4, 8]}}, "damaged header"),
        ({"a": entry(end=10**30)}, "damaged header"),
        ({"a": entry(start=4, end=8)}, "damaged header"),
        ({"a": entry(start=4, end=0)}, "damaged header"),
        ({"a": entry(), "b": entry()}, "damaged header"),
        ({"a": entry(), "b": entry(start=5, end=9)}, "damaged header"),
        ({"a" * (MAX_NAME + 1): entry()}, "damaged header"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": {}}', "damaged header"),
        ({}, "truncated or damaged: it has 14 bytes, not 10"),
        ({"a": entry((2,), 0, 8)}, "truncated or damaged"),
        ({f"t{i}": entry() for i in range(MAX_TENSORS + 1)}, "20001 tensors, more than 20000"),
    ],
)
def test_hostile_header_is_an_error(folder, values, message):
    header(folder, values, b"\0" * 4)
    with pytest.raises(CheckpointError, match=message):
        read_header(folder)


def test_tensors_may_stand_in_any_order_and_be_empty(folder):
    values = {"b": entry((1,), 4, 8), "none": entry((0, 3), 4, 4), "a": entry((1,), 0, 4), "__metadata__": {"a": "b"}}
    header(folder, values, struct.pack("<2f", 1, 2))
    read = read_weights(folder, {"a": torch.zeros(1), "b": torch.zeros(1), "none": torch.zeros(0, 3)})
    assert (read["a"].item(), read["b"].item(), read["none"].shape) == (1, 2, (0, 3))


def test_metadata_that_only_the_library_finds_wrong_is_an_error(folder):
    header(folder, {"__metadata__": {"a": [1]}, "a": entry()}, bytes(4))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is damaged; copy it again"):
        read_weights(folder, {"a": torch.zeros(1)})


def test_header_that_claims_to_be_huge_is_refused_without_reading_it(folder):
    path = folder / WEIGHTS
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 9 * 2**20))
        file.truncate(20 * 2**20)
    with pytest.raises(CheckpointError, match="header of 9437184 bytes, more than 8388608"):
        read_header(folder)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(CheckpointError, match="truncated"):
        read_header(folder)


def test_pickles_are_named_as_what_they_are_and_never_opened(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"as pickles, which are programs; save them as model\.safetensors"):
        read_header(folder)
