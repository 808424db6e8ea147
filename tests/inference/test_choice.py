import pytest
import torch

from ojito.errors import OjitoError
from ojito.inference import choice
from ojito.inference.kernels import (
    FEW,
    IntInt8,
    PackedInt4,
    PackedInt8,
    Plain,
    WeightOnlyInt8,
    Widened,
    WidenedInt4,
    WidenedInt8,
)


@pytest.fixture
def measured(monkeypatch):
    """Kernels that are all available, with seconds of packing and of each number of rows."""
    choice.choose.cache_clear()

    def seconds(table):
        monkeypatch.setattr(choice, "_measure", lambda kernel, form, dtype, shape: table[kernel])
        for kernel in table:
            monkeypatch.setattr(kernel, "available", classmethod(lambda cls: True))
        monkeypatch.setitem(
            choice.KERNELS, "int8", tuple(kernel for kernel in choice.KERNELS["int8"] if kernel in table)
        )

    yield seconds
    choice.choose.cache_clear()


@pytest.mark.parametrize("form", choice.KERNELS)
def test_every_form_has_kernels_here(form):
    dtype = getattr(torch, form) if hasattr(torch, form) and form not in ("int8",) else torch.float32
    chosen = choice.choose(form, dtype if dtype.is_floating_point else torch.float32)
    assert len(chosen.kernels) == len(choice.ROWS)
    assert all(kernel in choice.KERNELS[form] and kernel.available() for kernel in chosen.kernels)


def test_fastest_kernel_is_chosen_for_each_number_of_rows(measured):
    measured({WidenedInt8: (0, [9, 9, 1]), WeightOnlyInt8: (0, [1, 2, 9])})
    assert choice.choose("int8", torch.float32).kernels == (WeightOnlyInt8, WeightOnlyInt8, WidenedInt8)


def test_first_kernel_stays_unless_another_is_clearly_faster(measured):
    measured({WidenedInt8: (0, [1, 1, 1]), WeightOnlyInt8: (0, [0.95, 0.95, 0.95])})
    assert choice.choose("int8", torch.float32).kernels == (WidenedInt8,) * 3


@pytest.mark.parametrize("large", [False, True])
def test_copy_of_a_large_matrix_serves_for_all_unless_another_kernel_is_much_faster(measured, large):
    measured({WidenedInt8: (0, [9, 4, 40]), WeightOnlyInt8: (0, [4, 9, 40]), PackedInt8: (0, [5, 9, 1])})
    kernels = choice.choose("int8", torch.float32, large=large).kernels
    assert kernels == (PackedInt8 if large else WeightOnlyInt8, WidenedInt8, PackedInt8)


@pytest.mark.parametrize("once", [False, True])
def test_packing_has_to_pay_within_one_answer_where_one_is_wanted(measured, once):
    measured({WidenedInt8: (0, [2, 2, 2]), PackedInt8: (100, [1, 1, 1])})
    assert choice.choose("int8", torch.float32, once).kernels == ((WidenedInt8 if once else PackedInt8),) * 3


@pytest.mark.parametrize("precise", [False, True])
def test_precise_rounds_no_prompt(measured, precise):
    measured({WidenedInt8: (0, [9, 9, 9]), IntInt8: (0, [1, 1, 1])})
    chosen = choice.choose("int8", torch.float32, precise=precise).kernels
    assert chosen == (IntInt8, IntInt8, WidenedInt8 if precise else IntInt8)


def test_one_kernel_alone_packs():
    packing = [kernel for found in choice.KERNELS.values() for kernel in found if kernel.packs]
    assert {PackedInt8, PackedInt4} <= {*packing}
    for form in choice.KERNELS:
        dtype = getattr(torch, form) if form in ("bfloat16", "float16") else torch.float32
        assert len({kernel for kernel in choice.choose(form, dtype).kernels if kernel.packs}) <= 1


def test_rows_decide_between_kernels():
    made = choice.Choice((Plain, Widened, WidenedInt4))
    assert [made.at(rows) for rows in (1, 2, 3, FEW, FEW + 1, 500)] == [0, 0, 1, 1, 2, 2]
    assert str(made) == "Plain at 1, Widened at 8, WidenedInt4 at 128"


@pytest.mark.parametrize("large", [False, True])
def test_matrix_is_measured_with_one_of_its_size(monkeypatch, large):
    choice.choose.cache_clear()
    met = []
    monkeypatch.setattr(choice, "_measure", lambda *given: met.append(given[-1]) or (0, [1, 1, 1]))
    choice.choose("int8", torch.float32, large=large)
    choice.choose.cache_clear()
    assert {*met} == {choice._LARGE if large else choice._SMALL}
    assert choice.is_large(2048 * 2048)
    assert not choice.is_large(1024 * 1024)


class Raising(Plain):
    def __call__(self, rows):
        raise RuntimeError("not implemented for this processor")


class Unmade(Plain):
    def __init__(self, weight):
        raise TypeError("missing operator")


class Wrong(Plain):
    """Right for the first rows of the matrix alone."""

    def __call__(self, rows):
        made = super().__call__(rows)
        made[:, 500:] = 0
        return made


class WrongForOne(Plain):
    def __call__(self, rows):
        return super().__call__(rows) * (2 if len(rows) == 1 else 1)


@pytest.mark.parametrize("kernel", [Raising, Unmade, Wrong, WrongForOne])
def test_kernel_that_fails_or_computes_something_else_is_not_chosen(monkeypatch, kernel):
    choice.choose.cache_clear()
    monkeypatch.setitem(choice.KERNELS, "float32", (kernel, Plain))
    assert choice.choose("float32", torch.float32).kernels == (Plain,) * 3
    monkeypatch.setitem(choice.KERNELS, "float32", (kernel, kernel))
    choice.choose.cache_clear()
    with pytest.raises(OjitoError, match="wrong with every kernel"):
        choice.choose("float32", torch.float32)
    choice.choose.cache_clear()
