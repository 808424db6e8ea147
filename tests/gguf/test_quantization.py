"""Blocks to numbers, equal to the package's bit for bit, and to groups, equal to the numbers."""

import gguf
import numpy as np
import pytest
import torch

from ojito.gguf import quantization
from ojito.gguf.container import GgufFile
from ojito.gguf.header import TYPES, GgufError
from ojito.gguf.quantization import read_groups, read_tensor
from tests import gguf_files

Q = gguf.GGMLQuantizationType


@pytest.fixture
def store(tmp_path):
    """A file with one matrix "a" of a type, and the numbers that the package reads of it."""

    def stored(kind, shape=(6, 64), seed=0):
        weight = np.random.default_rng(seed).standard_normal(shape, np.float32)
        packed = gguf.quantize(weight, kind)
        writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
        writer.add_tensor("a", packed, raw_dtype=kind)
        gguf_files.finish(writer)
        return GgufFile(tmp_path / "a.gguf"), torch.from_numpy(gguf.dequantize(packed, kind).copy())

    return stored


def test_sizes_of_blocks_are_those_of_the_package():
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {number: theirs[number] for number in TYPES} == {number: tuple(block) for number, block in TYPES.items()}


@pytest.mark.parametrize("kind", [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1], ids=lambda k: k.name)
def test_numbers_are_those_of_the_package_bit_for_bit(store, kind):
    file, numbers = store(kind)
    read = read_tensor(file, "a")
    assert torch.equal(read.float(), numbers)
    assert read.dtype == {Q.F16: torch.float16, Q.BF16: torch.bfloat16}.get(kind, torch.float32)


def test_k_quants_come_through_the_package(tmp_path):
    packed = np.random.default_rng(0).integers(0, 100, (2, 144), np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("a", packed, raw_dtype=Q.Q4_K)
    gguf_files.finish(writer)
    assert torch.equal(
        read_tensor(GgufFile(tmp_path / "a.gguf"), "a"), torch.from_numpy(gguf.dequantize(packed, Q.Q4_K))
    )


def test_a_type_of_the_package_without_the_package_names_the_extra(store, monkeypatch):
    file, _ = store(Q.Q5_0)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(GgufError, match=r"a as Q5_0, which the package gguf reads, .*pip install 'ojito\[gguf\]'"):
        read_tensor(file, "a")


def test_a_type_of_our_own_needs_no_package(store, monkeypatch):
    file, numbers = store(Q.Q4_1)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    assert torch.equal(read_tensor(file, "a"), numbers)


def test_dtype_changes_what_a_quantized_tensor_is_read_as(store):
    file, numbers = store(Q.Q4_0)
    read = read_tensor(file, "a", torch.bfloat16)
    assert read.dtype == torch.bfloat16
    assert torch.equal(read, numbers.bfloat16())


@pytest.mark.parametrize("chunk", [1, 64, 130, 10**6])
def test_rows_at_a_time_make_no_difference(store, monkeypatch, chunk):
    file, numbers = store(Q.Q8_0)
    monkeypatch.setattr(quantization, "_CHUNK", chunk)
    assert torch.equal(read_tensor(file, "a"), numbers)


@pytest.mark.parametrize("kind", [Q.Q8_0, Q.Q4_0, Q.Q4_1], ids=lambda k: k.name)
def test_groups_are_the_numbers_bit_for_bit(store, kind):
    file, numbers = store(kind)
    groups = read_groups(file, "a")
    assert torch.equal(groups.numbers(), numbers)
    assert groups.scales.shape == (6, 2)
    assert (groups.minimums is None) == (kind == Q.Q8_0)
    assert (groups.ints.dtype, groups.ints.shape) == (
        (torch.int8, (6, 64)) if kind == Q.Q8_0 else (torch.uint8, (6, 32))
    )


def test_nibbles_of_a_group_are_its_two_halves(store):
    file, numbers = store(Q.Q4_1)
    groups = read_groups(file, "a")
    column = lambda k, ints: (ints.float() * groups.scales[:, k // 32]) + groups.minimums[:, k // 32]  # noqa: E731
    for k in (0, 1, 17, 63):
        byte = groups.ints[:, k // 32 * 16 + k % 16]
        assert torch.equal(column(k, byte >> 4 if k % 32 >= 16 else byte & 15), numbers[:, k])


def test_other_types_have_no_groups(store):
    assert read_groups(store(Q.F16)[0], "a") is None
    assert read_groups(store(Q.Q5_0)[0], "a") is None
    assert read_groups(store(Q.Q8_0, (64,))[0], "a") is None


def test_plain_numbers_are_a_view_of_the_file_that_nobody_else_sees(store):
    file, numbers = store(Q.F32)
    read_tensor(file, "a").zero_()
    assert torch.equal(read_tensor(file, "a"), torch.zeros_like(numbers))
    assert torch.equal(read_tensor(GgufFile(file.path), "a"), numbers)
