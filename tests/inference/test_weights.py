import math

import pytest
import torch

from ojito.inference.weights import BLOCK, Int4Weight, Int8Weight, block_of, concatenate, rotate


def matrix(rows=6, columns=96, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def error(made, weight):
    return ((made - weight).norm() / weight.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("form", "most"), [(Int8Weight, 0.01), (Int4Weight, 0.09)])
def test_dequantized_is_near_the_matrix(form, most, dtype):
    weight = matrix().to(dtype)
    made = form.quantize(weight)
    assert made.shape == (6, 96)
    assert error(made.dequantize(), weight.float()) < most
    assert made.dequantize(torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("form", "bits"), [(Int8Weight, 8 + 32 / 4096), (Int4Weight, 4 + 2 * 16 / 32)])
def test_bytes_are_those_of_the_form(form, bits):
    assert form.quantize(matrix(2, 4096)).nbytes == 2 * 4096 * bits / 8


@pytest.mark.parametrize("form", [Int8Weight, Int4Weight])
def test_large_matrix_is_quantized_as_its_rows_are(form):
    weight = matrix(300, 1024)  # more than are worked on at once
    whole = form.quantize(weight)
    # Near, because the order of the sums that rotate rows may depend on how many there are.
    torch.testing.assert_close(whole.dequantize()[280:], form.quantize(weight[280:]).dequantize())
    torch.testing.assert_close(whole[280:].dequantize(), whole.dequantize()[280:])


@pytest.mark.parametrize("form", [Int8Weight, Int4Weight])
def test_row_of_zeros_stays_one(form):
    weight = matrix()
    weight[2] = 0
    assert torch.equal(form.quantize(weight).dequantize()[2], torch.zeros(96))


@pytest.mark.parametrize("form", [Int8Weight, Int4Weight])
@pytest.mark.parametrize("columns", [1, 33, 72, 80])
def test_any_number_of_columns_is_possible(form, columns):
    weight = matrix(5, columns)
    made = form.quantize(weight).dequantize()
    assert made.shape == weight.shape
    assert error(made, weight) < 0.1


def test_whole_numbers_of_int4_lie_as_in_gguf():
    numbers = torch.arange(32) % 16
    made = Int4Weight.quantize(numbers[None].float())
    assert made.values[0].tolist() == [first + 16 * second for first, second in zip(range(16), range(16), strict=True)]
    assert torch.equal(made.numbers()[0], numbers.int())
    assert torch.equal(made.dequantize()[0], numbers.float())


def test_line_of_int4_is_fitted_to_the_rounded_numbers():
    weight = matrix(64, 1024)
    groups = weight.view(64, -1, 32)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = (high - low) / 15
    by_ends = (((groups - low) / scale).round() * scale + low).view_as(weight)
    assert error(Int4Weight.quantize(weight).dequantize(), weight) < 0.98 * error(by_ends, weight)


def test_rotation_keeps_products_and_undoes_itself():
    rows, weight = matrix(3, 192, 1), matrix(5, 192, 2)
    torch.testing.assert_close(rotate(rows) @ rotate(weight).t(), rows @ weight.t(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(rotate(rotate(rows)), rows)


def test_rotation_spreads_a_large_column():
    rows = torch.ones(1, 128)
    rows[0, 5] = 100
    assert rotate(rows).abs().max() < 100 / math.sqrt(BLOCK) + 8


@pytest.mark.parametrize(("columns", "size"), [(2048, 64), (4304, 16), (576, 64), (96, 32), (7, 1)])
def test_block_divides_the_columns(columns, size):
    assert block_of(columns) == size


def test_rotated_int8_is_nearer_where_columns_differ():
    weight = matrix(64, 1024)
    weight[:, ::100] *= 20
    scale = weight.abs().amax(1, keepdim=True) / 127
    plain = (weight / scale).round() * scale
    assert error(Int8Weight.quantize(weight).dequantize(), weight) < 0.6 * error(plain, weight)


@pytest.mark.parametrize("form", [Int8Weight, Int4Weight])
def test_concatenated_rows_stand_one_below_the_other(form):
    first, second = form.quantize(matrix(3)), form.quantize(matrix(5, seed=1))
    made = concatenate([first, second])
    for whole, *parts in zip(made.tensors, first.tensors, second.tensors, strict=True):
        assert torch.equal(whole, torch.cat(parts))
    torch.testing.assert_close(made.dequantize(), torch.cat((first.dequantize(), second.dequantize())))
