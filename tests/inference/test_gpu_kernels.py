"""The kernels for CUDA. A CPU has two of their operators; int4's are stood in for, as PyTorch's source has them."""

import pytest
import torch

from ojito.inference import gpu_kernels
from ojito.inference.gpu_kernels import CastInt8, FilledIntInt8, FloatInt8, TiledInt4
from ojito.inference.weights import GROUP, WEIGHTS, rotate


def made(form, rows=70, columns=160, seed=0):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.1
    return WEIGHTS[form].quantize(weight)


def rows_of(count, columns=160, dtype=torch.float32):
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(count)).to(dtype)


def error(product, rows, matrix):
    expected = rows.float() @ matrix.dequantize().t()
    return ((product.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [1, 8, 9, 40])
@pytest.mark.parametrize("kernel", [CastInt8, FloatInt8, FilledIntInt8])
def test_product_of_int8_is_that_of_the_matrix(kernel, count, dtype):
    matrix, rows = made("int8", rows=72), rows_of(count, dtype=dtype)
    product = kernel(matrix)(rotate(rows))
    assert product.dtype == dtype
    assert product.shape == (count, 72)
    assert error(product, rows, matrix) < (0.015 if kernel is FilledIntInt8 else 0.006)


def test_large_rows_in_float16_are_no_infinities():
    matrix, rows = made("int8", columns=512), torch.full((1, 512), 40.0, dtype=torch.float16)
    assert CastInt8(matrix)(rows).isfinite().all()
    whole = torch.nn.functional.linear(rows, matrix.values.abs().half())
    assert not whole.isfinite().all()


@pytest.mark.parametrize(("count", "multiplied"), [(1, 32), (8, 32), (17, 32), (32, 32), (33, 64)])
def test_rows_are_filled_up(monkeypatch, count, multiplied):
    seen, multiply = [], torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda rows, values: seen.append(len(rows)) or multiply(rows, values))
    FilledIntInt8(made("int8"))(rotate(rows_of(count)))
    assert seen == [multiplied]


@pytest.fixture
def tiles(monkeypatch):
    """PyTorch's two operators for CUDA, by what its source says: what they demand, and what they compute."""
    seen = []

    def pack(halves, tiles):
        assert halves.dtype == torch.uint8
        assert halves.is_contiguous()
        assert tiles in (2, 4, 8)
        assert halves.shape[1] * 2 % (tiles * 16) == 0
        seen.append(tiles)
        return torch.stack((halves >> 4, halves & 15), dim=2).flatten(1)  # even columns lie in the high half

    def multiply(rows, packed, group, lines):
        groups = packed.shape[1] // group
        assert rows.dtype == lines.dtype == torch.bfloat16
        assert rows.is_contiguous()
        assert rows.shape[1] == packed.shape[1]
        assert lines.shape == (groups, len(packed), 2)
        assert len(packed) % 8 == 0
        scale, zero = (part.t()[:, :, None].float() for part in lines.unbind(-1))
        weight = (packed.view(len(packed), groups, group).float() - 8) * scale + zero
        return (rows.float() @ weight.flatten(1).t()).to(torch.bfloat16)

    monkeypatch.setattr(torch, "_convert_weight_to_int4pack", pack)
    monkeypatch.setattr(torch, "_weight_int4pack_mm", multiply)
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "columns"), [(72, 160), (70, 160), (64, 128), (5, 72), (8, 20)])
def test_product_of_int4_is_that_of_the_matrix(tiles, rows, columns, dtype):
    """Rows that are no multiple of a tile and columns that are none of a group are filled up."""
    matrix, hidden = made("int4", rows, columns), rows_of(3, columns, dtype)
    product = TiledInt4(matrix)(hidden)
    assert product.dtype == dtype
    assert product.shape == (3, rows)
    assert error(product, hidden, matrix) < 0.01


@pytest.mark.parametrize(("columns", "expected"), [(128, 8), (64, 4), (96, 2), (GROUP, 2), (2048, 8)])
def test_tiles_are_as_many_as_divide_a_row(tiles, columns, expected):
    TiledInt4(made("int4", 8, columns))
    assert tiles == [expected]


def test_missing_operators_are_not_available(monkeypatch):
    assert CastInt8.available()
    for name in ("_weight_int8pack_mm", "_int_mm", "_weight_int4pack_mm"):
        monkeypatch.delattr(torch, name)
    assert not any(kernel.available() for kernel in (FloatInt8, FilledIntInt8, TiledInt4))


def test_rounding_is_said():
    assert FilledIntInt8.rounds
    assert TiledInt4.packs
    assert gpu_kernels._ROWS % 8 == 0
