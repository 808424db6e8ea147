"""Tensors that a model does not have, or that are not what it has."""

import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.keys import KeyMap, Section
from ojito.checkpoint.tensors import source
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.tensors.writing import write_weights
from tests.checkpoint.tensors.small import NAMED, equal, on_meta, state

TWICE = KeyMap((Section("", ("theirs.",), {"a": "x"}),), copies={"head": "a.weight", "old.head": "b.weight"})


@pytest.mark.parametrize("name", ["head", "old.head"])
def test_copy_is_read_past_and_need_not_be_of_our_tensors(tmp_path, name):
    ours = {"a.weight": torch.randn(3, 4)}
    write_weights(tmp_path, {"theirs.x.weight": ours["a.weight"], name: ours["a.weight"].clone()})
    assert equal(read_weights(tmp_path, on_meta(ours), keys=TWICE), ours)


@pytest.mark.parametrize("change", [lambda t: t + 1e-3, lambda t: t[:2].clone(), lambda t: t.T.contiguous()])
def test_copy_of_other_numbers_is_refused(tmp_path, change):
    ours = {"a.weight": torch.randn(3, 4)}
    write_weights(tmp_path, {"theirs.x.weight": ours["a.weight"], "head": change(ours["a.weight"])})
    with pytest.raises(CheckpointError, match=r"has a head that is not its theirs\.x\.weight, and config\.json beside"):
        read_weights(tmp_path, on_meta(ours), keys=TWICE)


def test_keys_that_differ_are_all_listed(folder):
    expected = state(a=torch.zeros(4, 3), c=torch.zeros(1))
    del expected["b.weight"]
    expected["b.count"] = torch.tensor(1.0)
    message = (
        r"model\.safetensors: does not fit config\.json beside it: 1 missing \(c\); 1 unexpected \(b\.weight\); "
        r"2 differing \(a is \[3, 4\], not \[4, 3\], b\.count is of dtype I64\); use the files of one model"
    )
    with pytest.raises(CheckpointError, match=message):
        read_weights(folder, expected)


def test_keys_that_differ_are_called_as_in_the_file(tmp_path):
    write_weights(tmp_path, {"theirs.x": torch.zeros(3, 4), "new": torch.zeros(1), "old.bias": torch.zeros(1)})
    expected = {"a": torch.zeros(3, 4), "b.weight": torch.zeros(5)}
    message = (
        r"1 missing \(theirs\.y\.weight\); 1 unexpected \(new\); 1 differing \(theirs\.x is \[3, 4\], not \[4, 3\]\)"
    )
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path, expected, keys=NAMED)


def test_long_lists_of_keys_are_counted(folder):
    with pytest.raises(CheckpointError, match=r"9 missing \(k0, k1, k2, k3, k4, and 4 more\)"):
        read_weights(folder, {**state(), **{f"k{i}": torch.zeros(1) for i in range(9)}})


def test_whole_numbers_in_place_of_fractions_are_refused(tmp_path):
    write_weights(tmp_path, {"a": torch.zeros(3, dtype=torch.int32)})
    with pytest.raises(CheckpointError, match=r"1 differing \(a is of dtype I32\)"):
        read_weights(tmp_path, {"a": torch.zeros(3)})


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.uint8, torch.bool, torch.int8])
@pytest.mark.parametrize("expected", [torch.zeros(3), torch.zeros(3, dtype=torch.int64)])
def test_dtype_that_no_model_has_is_refused(tmp_path, dtype, expected):
    write_weights(tmp_path, {"a": torch.zeros(3).to(dtype)})
    with pytest.raises(CheckpointError, match=r"1 differing \(a is of dtype "):
        read_weights(tmp_path, {"a": expected})


def test_nothing_is_read_before_names_and_shapes_fit(folder, monkeypatch):
    monkeypatch.setattr(source, "safe_open", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(CheckpointError):
        read_weights(folder, {})
