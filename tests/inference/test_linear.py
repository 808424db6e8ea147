import threading

import pytest
import torch
from torch import nn

from ojito.inference import choice, linear
from ojito.inference.kernels import PackedInt4, PackedInt8, Plain, WidenedInt4, WidenedInt8
from ojito.inference.linear import PreparedLinear
from ojito.inference.quantize import QuantizedLinear
from ojito.inference.weights import WEIGHTS


def projections(form="none", sizes=(12, 8, 4), bias=True):
    torch.manual_seed(0)
    made = [nn.Linear(64, size, bias=bias) for size in sizes]
    return [quantized(module, form) for module in made] if form != "none" else made


def quantized(module, form):
    made = QuantizedLinear(module.in_features, module.out_features, module.bias is not None, form)
    weight = WEIGHTS[form].quantize(module.weight.detach())
    state = {name: getattr(weight, name) for name, _ in made.named_buffers()}
    made.load_state_dict({**state, "bias": module.bias} if module.bias is not None else state, assign=True)
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["none", "int8", "int4"])
@pytest.mark.parametrize("shape", [(1, 1, 64), (2, 30, 64), (64,)])
def test_projections_stand_one_after_another(form, bias, shape):
    modules = projections(form, bias=bias)
    hidden = torch.randn(shape)
    with torch.inference_mode():
        expected = torch.cat([module(hidden) for module in modules], dim=-1)
        made = PreparedLinear(modules, precise=True)(hidden)
    assert made.shape == expected.shape
    assert (made - expected).norm() / expected.norm() < (1e-5 if form == "none" else 0.01)


def test_large_float_matrices_are_not_copied(monkeypatch):
    monkeypatch.setattr(linear, "SMALL", 100)
    modules = projections()
    prepared = PreparedLinear(modules)
    hidden = torch.randn(1, 64)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(hidden), torch.cat([module(hidden) for module in modules], dim=-1))
    held = {kernel.weight.data_ptr() for kernels in prepared._kernels for kernel in kernels}
    assert held == {module.weight.data_ptr() for module in modules}


def test_small_float_matrices_lie_together_and_are_there_once():
    modules = projections()
    before = [module.weight.clone() for module in modules]
    hidden, parameters = torch.randn(2, 64), [module.weight for module in modules]
    expected = torch.cat([module(hidden) for module in modules], dim=-1)
    prepared = PreparedLinear(modules)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(hidden), expected)
    (together,) = {kernel.weight.data_ptr() for kernels in prepared._kernels for kernel in kernels}
    assert [module.weight.data_ptr() - together for module in modules] == [0, 12 * 64 * 4, 20 * 64 * 4]
    for module, weight, parameter in zip(modules, before, parameters, strict=True):
        assert module.weight is parameter
        assert torch.equal(module.weight, weight)
        assert not module.weight.is_inference()
    torch.testing.assert_close(torch.cat([module(hidden) for module in modules], dim=-1), expected)
    modules[1](hidden).sum().backward()  # and are trained as before
    assert modules[1].weight.grad is not None


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_small_quantized_matrices_lie_together_where_no_kernel_packs_and_are_there_once(monkeypatch, form):
    plain = WidenedInt8 if form == "int8" else WidenedInt4
    monkeypatch.setattr(linear, "choose", lambda *args: choice.Choice((plain,) * 3))
    modules, hidden = projections(form), torch.randn(2, 64)
    with torch.inference_mode():
        expected = torch.cat([module(hidden) for module in modules], dim=-1)
        prepared = PreparedLinear(modules)
        torch.testing.assert_close(prepared(hidden), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.cat([module(hidden) for module in modules], dim=-1), expected)
    ((kernel,),) = {tuple(kernels) for kernels in prepared._kernels}
    whole = kernel.weight if form == "int8" else kernel.quantized.values
    for name, buffer in modules[1].named_buffers():
        assert (
            buffer.untyped_storage().data_ptr() == dict(modules[0].named_buffers())[name].untyped_storage().data_ptr()
        )
    assert modules[0].values.data_ptr() == whole.data_ptr()


def test_weights_that_were_made_in_inference_mode_stay_where_they_are():
    with torch.inference_mode():
        modules = projections()
        places, hidden = [module.weight.data_ptr() for module in modules], torch.randn(2, 64)
        expected = torch.cat([module(hidden) for module in modules], dim=-1)
        torch.testing.assert_close(PreparedLinear(modules)(hidden), expected)
    assert [module.weight.data_ptr() for module in modules] == places


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_large_quantized_matrices_lie_together_in_a_packed_copy_alone(monkeypatch, form):
    monkeypatch.setattr(linear, "SMALL", 100)
    packed, plain = (PackedInt8, WidenedInt8) if form == "int8" else (PackedInt4, WidenedInt4)
    if not packed.available():
        pytest.skip("not on this machine")
    monkeypatch.setattr(linear, "choose", lambda *args: choice.Choice((packed, packed, plain)))
    modules = projections(form)
    prepared, hidden = PreparedLinear(modules), torch.randn(40, 64)
    with torch.inference_mode():
        expected = torch.cat([module(hidden) for module in modules], dim=-1)
        assert (prepared(hidden) - expected).norm() / expected.norm() < 0.01
        assert (prepared(hidden[:1]) - expected[:1]).norm() / expected[:1].norm() < 0.02
    assert [len(found) for found in prepared._kernels] == [1, 1, 3]


def test_nothing_is_packed_before_the_first_call():
    prepared = PreparedLinear(projections())
    assert prepared._kernels is None
    prepared(torch.randn(1, 64))
    assert prepared._kernels is not None


def test_kernel_is_made_once_for_all_numbers_of_rows(monkeypatch):
    if not PackedInt8.available():
        pytest.skip("not on this machine")
    chosen = choice.Choice((PackedInt8, PackedInt8, WidenedInt8))
    monkeypatch.setattr(linear, "choose", lambda *args: chosen)
    prepared = PreparedLinear(projections("int8"))
    prepared(torch.randn(1, 64))
    first, second, third = (found[0] for found in prepared._kernels)
    assert first is second is not third


def test_arguments_reach_the_choice(monkeypatch):
    asked = []
    monkeypatch.setattr(linear, "choose", lambda *args: asked.append(args) or choice.Choice((Plain,) * 3))
    PreparedLinear(projections(), once=True, precise=True)(torch.randn(1, 64))
    assert asked == [("float32", torch.float32, True, True, False)]


def test_threads_pack_once(monkeypatch):
    packed = []
    pack = PreparedLinear._pack
    monkeypatch.setattr(PreparedLinear, "_pack", lambda self, dtype: packed.append(1) or pack(self, dtype))
    prepared = PreparedLinear(projections())
    threads = [threading.Thread(target=prepared, args=(torch.randn(1, 64),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(packed) == 1
