"""Every kernel that this machine has, against the product in float32."""

import pytest
import torch

from ojito.inference import kernels
from ojito.inference.choice import KERNELS
from ojito.inference.weights import WEIGHTS, Int8Weight, rotate

CASES = [(form, kernel) for form, found in KERNELS.items() for kernel in found]
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.01, "float16": 0.01, "int8": 0.03, "int4": 0.01}


def made(form, rows=70, columns=160, seed=0):
    """A matrix, and the same in a form."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.1
    return weight, WEIGHTS[form].quantize(weight) if form in WEIGHTS else weight.to(getattr(torch, form))


def exact(matrix):
    return matrix.float() if isinstance(matrix, torch.Tensor) else matrix.dequantize()


def run(kernel, form, matrix, rows):
    if not kernel.available():
        pytest.skip("not on this machine")
    return kernel(matrix)(rotate(rows) if form == "int8" else rows)


def rows_of(count, columns=160, dtype=torch.float32):
    return torch.randn(count, columns, generator=torch.Generator().manual_seed(count)).to(dtype)


@pytest.mark.parametrize("count", [1, 8, 40])
@pytest.mark.parametrize(("form", "kernel"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_product_is_that_of_the_matrix(form, kernel, count):
    dtype = getattr(torch, form) if form in ("bfloat16", "float16") else torch.float32
    _, matrix = made(form)
    rows = rows_of(count, dtype=dtype)
    product = run(kernel, form, matrix, rows)
    expected = rows.float() @ exact(matrix).t()
    assert product.dtype == dtype
    assert (product.float() - expected).norm() / expected.norm() < TOLERANCE[form]


@pytest.mark.parametrize(("form", "kernel"), [case for case in CASES if case[0] in WEIGHTS])
def test_rows_in_bfloat16_give_bfloat16(form, kernel):
    _, matrix = made(form)
    rows = rows_of(12, dtype=torch.bfloat16)
    product = run(kernel, form, matrix, rows)
    expected = rows.float() @ exact(matrix).t()
    assert product.dtype == torch.bfloat16
    assert (product.float() - expected).norm() / expected.norm() < 0.04


@pytest.mark.parametrize(("form", "kernel"), [case for case in CASES if case[0] == "int4"])
def test_columns_that_are_no_whole_groups_are_filled_up(form, kernel):
    _, matrix = made(form, columns=72)
    rows = rows_of(3, 72)
    expected = rows @ exact(matrix).t()
    assert (run(kernel, form, matrix, rows) - expected).norm() / expected.norm() < 0.01


@pytest.mark.parametrize("columns", [8, 40, 72, 104])
@pytest.mark.parametrize(("form", "kernel"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_matrices_of_odd_sizes_have_their_products(form, kernel, columns):
    dtype = getattr(torch, form) if form in ("bfloat16", "float16") else torch.float32
    for lines in (1, 7, 24, 65):
        _, matrix = made(form, rows=lines, columns=columns)
        for count in (1, 2, 5, 17):
            rows = rows_of(count, columns, dtype=dtype)
            expected = rows.float() @ exact(matrix).t()
            assert (run(kernel, form, matrix, rows) - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize("kernel", [kernels.IntInt8, kernels.PackedInt8])
def test_few_rows_are_multiplied_in_two_pieces(kernel):
    _, matrix = made("int8")
    few, many = rows_of(kernels.FEW), rows_of(kernels.FEW + 1)

    def error(rows):
        expected = rows @ matrix.dequantize().t()
        return ((run(kernel, "int8", matrix, rows) - expected).norm() / expected.norm()).item()

    assert error(few) < 5e-4 < error(many)


@pytest.mark.parametrize("kernel", KERNELS["int8"])
@pytest.mark.parametrize("count", [2, 30])
def test_planted_outliers_leave_the_other_columns_readable(kernel, count):
    """Two columns a hundred times as large as the others, as in the residual stream of many decoders."""
    weight, matrix = made("int8", columns=576)
    rows = rows_of(count, 576)
    rows[:, [7, 300]] *= 100
    expected = rows @ weight.t()
    product = run(kernel, "int8", matrix, rows)
    assert (product - expected).norm() / expected.norm() < 0.03
    # Without the outliers' share, of which the sum mostly consists.
    rest = rows.clone()
    rest[:, [7, 300]] = 0
    planted = (rows - rest) @ weight.t()
    assert torch.nn.functional.cosine_similarity((product - planted).flatten(), (rest @ weight.t()).flatten(), 0) > 0.9


@pytest.mark.parametrize(("form", "kernel"), CASES)
def test_row_of_zeros_gives_zeros(form, kernel):
    dtype = getattr(torch, form) if form in ("bfloat16", "float16") else torch.float32
    _, matrix = made(form)
    rows = rows_of(9, dtype=dtype)
    rows[4] = 0
    assert not run(kernel, form, matrix, rows)[4].any()


@pytest.mark.parametrize(("form", "kernel"), CASES)
def test_large_matrix_is_worked_on_in_pieces(monkeypatch, form, kernel):
    dtype = getattr(torch, form) if form in ("bfloat16", "float16") else torch.float32
    _, matrix = made(form, rows=200)
    rows = rows_of(20, dtype=dtype)
    whole = run(kernel, form, matrix, rows)
    monkeypatch.setattr(kernels, "_SCRATCH", 64 * 160)
    monkeypatch.setattr(kernels, "_PACKED", 64 * 160)
    assert len(kernels._pieces((200, 160), 64 * 160)) == 4
    torch.testing.assert_close(run(kernel, form, matrix, rows), whole)


def test_missing_operator_leaves_the_plain_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "_has", lambda library, operator: False)
    assert not kernels.OneDNN.available()
    assert not kernels.PackedInt8.available()
    assert all(any(kernel.available() for kernel in found) for found in KERNELS.values())


@pytest.mark.parametrize("vnni", [False, True])
def test_seven_bits_of_a_row_are_used_where_sums_would_pass_sixteen(monkeypatch, vnni):
    if not kernels.PackedInt8.available():
        pytest.skip("not on this machine")
    monkeypatch.setattr(kernels, "_has_vnni", lambda: vnni)
    assert kernels.PackedInt8(Int8Weight.quantize(torch.ones(4, 8))).steps == (127 if vnni else 63)


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_dequantized_kernel_takes_rows_as_they_are(form):
    _, matrix = made(form)
    rows = rows_of(3)
    torch.testing.assert_close(kernels.Dequantized(matrix)(rows), rows @ exact(matrix).t())
