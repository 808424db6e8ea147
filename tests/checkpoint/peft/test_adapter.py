import pytest
import torch

import ojito
from tests.checkpoint.peft.conftest import LAYER, PREFIX, tensors_of

Q = LAYER["own"]


def load(folder, **options):
    return ojito.load(folder, **{"device": "cpu", "dtype": "float32", **options})


def state(folder, **options):
    return load(folder, **options).model.state_dict()


@pytest.mark.parametrize("kind", LAYER)
def test_weight_of_an_adapted_layer_is_the_sum_and_all_others_stay(adapter, bases, kind):
    before, after = state(bases / kind), state(adapter(kind))
    a, b = tensors_of(LAYER[kind]).values()
    torch.testing.assert_close(after[f"{Q}.weight"], before[f"{Q}.weight"] + 2 * b @ a)
    assert [name for name in before if not torch.equal(before[name], after[name])] == [f"{Q}.weight"]


def test_weight_is_rounded_once(adapter, bases):
    before, after = state(bases / "own"), state(adapter(), dtype="bfloat16")
    a, b = tensors_of(Q).values()
    assert torch.equal(after[f"{Q}.weight"], (before[f"{Q}.weight"] + 2 * b @ a).bfloat16())


def test_tensor_that_learned_in_full_takes_the_others_place(adapter, bases):
    learned = torch.randn(8)
    after = state(adapter(tensors={**tensors_of(Q), f"{PREFIX}decoder.norm.weight": learned}))
    assert torch.equal(after["decoder.norm.weight"], learned)


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_merged_weights_may_be_quantized_while_they_are_read(adapter, form):
    folder = adapter()
    at_once, merged = load(folder, quantize=form), load(folder)
    ojito.inference.quantize(merged.model, form)
    ours, wanted = at_once.model.state_dict(), merged.model.state_dict()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_description_is_that_of_the_model_with_the_adapters_name(adapter, bases):
    from ojito.checkpoint.folder import describe

    folder = adapter()
    described, base = describe(folder), describe(bases / "own")
    assert described.name == "adapter"
    assert described.path == folder
    assert (described.model, described.processor, described.form) == (base.model, base.processor, "native")
    assert described.dtypes == base.dtypes
    assert described.adapter.parameters == 2 * 2 * 8
