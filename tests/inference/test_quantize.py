import copy

import pytest
import torch
from torch import nn

from ojito.errors import OjitoError
from ojito.inference import quantize, quantized_form
from ojito.inference.quantize import (
    QuantizedEmbedding,
    QuantizedLinear,
    check_form,
    quantize_shape,
    quantized_names,
    set_dtype,
    tensor_form,
    tensors_of,
)
from ojito.inference.weights import WEIGHTS
from ojito.model.meta import on_meta


@pytest.fixture
def exact(build):
    with torch.inference_mode():
        yield build("llama")


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_every_projection_is_quantized(build, form):
    model = quantize(build("gpt2"), form)
    assert not any(type(module) is nn.Linear for module in model.modules())
    assert quantized_form(model) == form
    assert {module.form for module in model.modules() if isinstance(module, QuantizedLinear)} == {form}
    assert isinstance(model.decoder.embedding, QuantizedEmbedding)
    assert isinstance(model.decoder.positions, nn.Embedding)  # small, and only looked up


def test_head_and_table_are_int8_in_either_form(build):
    model = quantize(build("llama"), "int4")
    assert model.decoder.embedding.form == model.decoder.untied_head.form == "int8"


@pytest.mark.parametrize(("form", "least"), [("int8", 0.99), ("int4", 0.7)])
def test_logits_stay_near(model, row, form, least):
    batch = row(model)
    expected = model(batch)
    made = quantize(copy.deepcopy(model), form)(batch)
    assert not torch.equal(made, expected)
    assert nn.functional.cosine_similarity(made.flatten(), expected.flatten(), 0) > least


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_shape_takes_the_tensors_that_are_made_one_by_one(exact, row, form):
    shape = quantize_shape(on_meta(exact.config, "x"), form, torch.float32)
    state = {}
    for name, tensor in exact.state_dict().items():
        its_form = tensor_form(on_meta(exact.config, "x"), name, form)
        state |= tensors_of(name, WEIGHTS[its_form].quantize(tensor)) if its_form else {name: tensor}
    shape.load_state_dict(state, assign=True)
    made = quantize(copy.deepcopy(exact), form)
    assert {*made.state_dict()} == {*state}
    assert torch.equal(shape(row(exact)), made(row(exact)))


def test_names_are_those_of_quantized_matrices(exact):
    names = quantized_names(quantize(exact, "int4"))
    assert "decoder.blocks.0.mlp.up.minimum" in names
    assert "decoder.embedding.scale" in names
    assert "decoder.norm.weight" not in names


def test_embeddings_come_in_the_dtype_that_is_set(exact):
    model = quantize(exact, "int8")
    set_dtype(model, torch.bfloat16)
    assert model.decoder.embed(torch.tensor([[1]])).dtype == torch.bfloat16


def test_tied_head_of_a_quantized_model_meets_hidden_states_of_bfloat16(build, row):
    with torch.inference_mode():
        model = build("gemma").to(torch.bfloat16)
        batch = row(model)
        expected = model(batch)
        assert (quantize(model, "int8")(batch) - expected).abs().max() < 0.2 * expected.abs().max()


def test_biases_are_kept(build):
    model = build("gpt2")
    bias = model.decoder.blocks[0].mlp.up.bias.clone()
    assert torch.equal(quantize(model, "int8").decoder.blocks[0].mlp.up.bias, bias)


def test_none_leaves_the_model(exact):
    assert quantized_form(quantize(exact, "none")) == "none"


def test_quantized_model_is_not_quantized_again(exact):
    with pytest.raises(OjitoError, match="in int8 already"):
        quantize(quantize(exact, "int8"), "int4")


def test_unknown_form_is_refused():
    with pytest.raises(OjitoError, match="'int3' is not one of none, int8, int4"):
        check_form("int3")
