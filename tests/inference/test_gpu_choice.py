"""Which kernels are used on CUDA, with kernels that are right, wrong, slow or broken."""

import time

import pytest
import torch
import torch.nn.functional as F

from ojito.inference import gpu_choice, linear, prepare
from ojito.inference.gpu_choice import ROWS, GpuChoice, choose_on_gpu, is_right
from ojito.inference.gpu_kernels import CastInt8
from ojito.inference.kernels import FEW, Dequantized
from ojito.inference.linear import PreparedLinear
from ojito.inference.quantize import quantize
from ojito.inference.weights import WEIGHTS
from tests.inference.test_linear import projections

FLOAT = torch.float32


class Right(CastInt8):
    pass


class Slow(CastInt8):
    def __call__(self, rows):
        time.sleep(0.02)  # longer than a busy neighbour takes
        return super().__call__(rows)


class Wrong(CastInt8):
    def __call__(self, rows):
        return super().__call__(rows) * 1.1


class WrongAtTheEnd(CastInt8):
    def __call__(self, rows):
        product = super().__call__(rows)
        product[:, -1] = 9.0
        return product


class WrongForMany(CastInt8):
    def __call__(self, rows):
        return super().__call__(rows) * (1 if len(rows) <= FEW else 2)


class NotANumber(CastInt8):
    def __call__(self, rows):
        return super().__call__(rows) * float("nan")


class Narrow(CastInt8):
    def __call__(self, rows):
        return super().__call__(rows)[:, :-1]


class Bytes(CastInt8):
    def __call__(self, rows):
        return super().__call__(rows).half()


class Raises(CastInt8):
    def __call__(self, rows):
        raise RuntimeError("needs another GPU")


class CannotPack(CastInt8):
    def __init__(self, weight):
        raise NotImplementedError("no such operator")


class Missing(CastInt8):
    @classmethod
    def available(cls):
        return False


class Rounds(CastInt8):
    rounds = True


def matrix(form="int8", rows=600, columns=64):
    return WEIGHTS[form].quantize(torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def offered(monkeypatch):
    """Offers kernels for int8 beside a slow one that works; nothing is remembered."""
    monkeypatch.setattr(gpu_choice, "_chosen", {})

    def offer(*kernels):
        monkeypatch.setattr(gpu_choice, "KERNELS", {"int8": (Slow, *kernels)})

    return offer


@pytest.mark.parametrize("kernel", [CastInt8, Right])
def test_right_products_are_right(kernel):
    assert is_right(kernel, matrix(), FLOAT, (1, 40))


@pytest.mark.parametrize("kernel", [Wrong, WrongAtTheEnd, NotANumber, Narrow, Bytes, Raises, CannotPack])
def test_other_products_are_not(kernel):
    assert not is_right(kernel, matrix(rows=40), FLOAT, (1, 40))


def test_every_number_of_rows_is_checked():
    assert is_right(WrongForMany, matrix(), FLOAT, (1, FEW))
    assert not is_right(WrongForMany, matrix(), FLOAT, (1, FEW + 1))


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_what_always_works_is_right(form):
    for dtype in (torch.float32, torch.bfloat16):
        assert is_right(gpu_choice.KERNELS[form][0], matrix(form), dtype, (1, 40))


def test_product_of_zeros_is_right():
    assert is_right(CastInt8, WEIGHTS["int8"].quantize(torch.zeros(8, 64)), FLOAT, (1,))


def test_right_kernel_is_chosen_where_it_is_faster(offered):
    offered(Wrong, Raises, CannotPack, Missing, NotANumber, Right)
    assert choose_on_gpu(matrix(), FLOAT).kernels == (Right,) * 3


def test_slow_kernel_is_measured_once(offered):
    called = []

    class VerySlow(CastInt8):
        def __call__(self, rows):
            called.append(len(rows))
            time.sleep(0.1)
            return super().__call__(rows)

    offered(VerySlow)
    assert choose_on_gpu(matrix(), FLOAT).kernels == (Slow,) * 3
    assert len(called) == 3 * (2 + 2)  # checked with two numbers of rows, warmed up, measured


@pytest.mark.parametrize("kernels", [(), (Wrong,), (Raises, CannotPack, Missing)])
def test_first_kernel_serves_where_no_other_is_right(offered, kernels):
    offered(*kernels)
    assert choose_on_gpu(matrix(), FLOAT).kernels == (Slow,) * 3


def test_kernel_that_is_wrong_for_many_rows_serves_few(offered):
    offered(WrongForMany)
    assert choose_on_gpu(matrix(), FLOAT).kernels == (WrongForMany, Slow, Slow)


def test_kernel_that_is_no_faster_takes_nobodys_place(monkeypatch):
    monkeypatch.setattr(gpu_choice, "_chosen", {})
    monkeypatch.setattr(gpu_choice, "KERNELS", {"int8": (CastInt8, Slow)})
    assert choose_on_gpu(matrix(), FLOAT).kernels == (CastInt8,) * 3


def test_precise_rounds_no_row_of_many(offered):
    offered(Rounds)
    assert choose_on_gpu(matrix(), FLOAT).kernels == (Rounds,) * 3
    assert choose_on_gpu(matrix(), FLOAT, precise=True).kernels == (Rounds, Slow, Slow)


def test_choice_is_made_once_for_a_shape(offered, monkeypatch):
    offered(Right)
    checked, check = [], gpu_choice.is_right
    monkeypatch.setattr(gpu_choice, "is_right", lambda *given: checked.append(given[1].shape) or check(*given))
    for rows in (40, 40, 48):
        choose_on_gpu(matrix(rows=rows), FLOAT)
    assert checked == [(40, 64)] * 3 + [(48, 64)] * 3
    choose_on_gpu(matrix(rows=40), torch.bfloat16)
    assert len(checked) == 9


def test_ranges_of_rows_follow_each_other():
    assert [GpuChoice.at(rows) for rows in (1, 8, 9, 64, 65, 300)] == [0, 0, 1, 1, 2, 2]
    assert [most + 1 for _, most in ROWS[:-1]] == [fewest for fewest, _ in ROWS[1:]]


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("form", ["int8", "int4"])
def test_projections_are_those_of_the_modules(monkeypatch, form, small):
    monkeypatch.setattr(gpu_choice, "_chosen", {})
    monkeypatch.setattr(PreparedLinear, "_pack", as_on_cuda)
    if not small:
        monkeypatch.setattr(linear, "SMALL", 100)
    modules = projections(form)
    prepared = PreparedLinear(modules)
    for count in (1, 20, 100):
        hidden = torch.randn(count, 64)
        with torch.inference_mode():
            expected = torch.cat([module(hidden) for module in modules], dim=-1)
            assert (prepared(hidden) - expected).norm() / expected.norm() < 0.02
    assert [len(kernels) for kernels in prepared._kernels] == [1 if small else 3] * 3
    assert prepared._rotated == (form == "int8")


def test_precise_reaches_the_choice(monkeypatch):
    asked = []
    monkeypatch.setattr(PreparedLinear, "_pack", as_on_cuda)
    monkeypatch.setattr(linear, "choose_on_gpu", lambda *given: asked.append(given[1:]) or GpuChoice((CastInt8,) * 3))
    PreparedLinear(projections("int8"), precise=True)(torch.randn(1, 64))
    assert asked == [(FLOAT, True)]


def as_on_cuda(self, dtype):
    matrices = [linear._matrix(projection) for projection in self._projections]
    numbers = sum(map(linear._size, matrices))
    return self._pack_on_gpu([linear._concatenate(matrices)] if numbers <= linear.SMALL else matrices, dtype)


@pytest.mark.parametrize(("form", "least"), [("int8", 0.999), ("int4", 0.999)])
@torch.inference_mode()
def test_model_with_these_kernels_answers_as_its_plain_modules(monkeypatch, build, row, form, least):
    pack = PreparedLinear._pack

    def packed(self, dtype):
        is_float = isinstance(linear._matrix(self._projections[0]), torch.Tensor)
        return pack(self, dtype) if is_float else as_on_cuda(self, dtype)

    monkeypatch.setattr(PreparedLinear, "_pack", packed)
    model = quantize(build("gemma2"), form)
    batch = row(model)
    logits = prepare(model)(batch)
    assert F.cosine_similarity(logits.flatten(), model(batch).flatten(), 0) > least


def test_int4_that_always_works_is_dequantized():
    assert gpu_choice.KERNELS["int4"][0] is Dequantized
