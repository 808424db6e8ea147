"""Memory of weights, cache and training, and what is refused before it is taken."""

import dataclasses

import pytest
import torch

from ojito import memory, preset
from ojito.activations import activation_bytes
from ojito.config import LoraConfig, TrainConfig
from ojito.data import open_data
from ojito.errors import OjitoError
from ojito.inference import linear
from ojito.inference.choice import Choice
from ojito.inference.kernels import PackedInt4, PackedInt8, WeightOnlyInt8, WidenedInt4, WidenedInt8
from ojito.inference.quantize import quantize, quantize_shape
from ojito.loading import load_for, recipe_of
from ojito.memory import (
    adapter_numbers,
    answer_memory,
    cache_bytes,
    check_memory,
    check_training_memory,
    parameters,
    training_bytes,
    weight_bytes,
)
from ojito.model import VLM, KVCache
from ojito.model.lora import adapter_parameters
from ojito.model.meta import on_meta
from ojito.trainer import TrainState
from ojito.training import prepare

CPU = torch.device("cpu")


@pytest.fixture
def free(monkeypatch):
    """Says how many bytes are free."""
    return lambda number: monkeypatch.setattr(memory, "available_memory", lambda device: number)


@pytest.mark.parametrize(("optimizer", "each"), [("adamw", 16), ("muon", 12)])
def test_training_needs_the_gradients_and_the_moments_of_what_learns(free, optimizer, each):
    config = preset("tiny")
    model = on_meta(config.model, "tiny")
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.parts.items()}
    for frozen in ((), ("vision",), ("vision", "decoder")):
        train = dataclasses.replace(config.train, freeze=frozen, optimizer=optimizer)
        needed = sum(size * (4 if name in frozen else each) for name, size in sizes.items())
        free(needed)
        check_training_memory("tiny", model, train, CPU)
        free(needed - 1)
        with pytest.raises(
            OjitoError, match=r"^tiny: needs 0\.0 GiB for training .*free on cpu; freeze a part \(train\.freeze="
        ):
            check_training_memory("tiny", model, train, CPU)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("freeze", [(), ("vision",)])
def test_training_by_lora_needs_the_weights_and_what_its_adapters_learn(freeze, optimizer):
    config = preset("tiny")
    lora = LoraConfig(rank=3, parts=("decoder",))
    train = dataclasses.replace(config.train, lora=lora, freeze=freeze, optimizer=optimizer)
    model = VLM(config.model)
    foretold = training_bytes(on_meta(config.model, "tiny"), train)
    state = TrainState(model, train)
    learned = {"adamw": 16, "muon": 12}[optimizer]
    adapters = sum(matrix.numel() for matrix in adapter_parameters(model))
    whole = sum(parameter.numel() for parameter in state.learning) - adapters
    still = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    assert foretold == still * 4 + whole * learned + adapters * 16
    assert training_bytes(model, train) == foretold  # with its adapters, too
    assert adapter_numbers(model, train) == adapters > 0


def test_paligemma_by_lora_takes_a_quarter_of_the_memory():
    model = on_meta(preset("paligemma-3b-224").model, "paligemma")
    full, lora = (training_bytes(model, TrainConfig(lora=LoraConfig(rank=rank))) for rank in (0, 8))
    assert 0.25 < lora / full < 0.26


def test_training_is_refused_before_memory_is_taken(free, join, tmp_path):
    join().save(tmp_path)
    free(2**12)
    config = preset("tiny", ["data.path=scenes"])
    for begin in (
        lambda: prepare(config, open_data(config), "cpu"),
        lambda: load_for(recipe_of(tmp_path), tmp_path, "cpu"),
    ):
        with pytest.raises(OjitoError, match="GiB for training"):
            begin()


def test_weights_need_their_bytes_in_the_dtype_they_are_loaded_in(free):
    model = on_meta(preset("tiny").model, "tiny")
    total = sum(p.numel() for p in model.parameters())
    for dtype in (torch.float32, torch.bfloat16):
        free(total * dtype.itemsize)
        check_memory("tiny", model, dtype, CPU)
        free(total * dtype.itemsize - 1)
        with pytest.raises(OjitoError, match=rf"^tiny: needs .* weights in {str(dtype)[6:]}, and .* are free on cpu"):
            check_memory("tiny", model, dtype, CPU)


def test_unknown_amount_of_free_memory_refuses_nothing(free):
    free(None)
    model, train = on_meta(preset("paligemma2-28b").model, "paligemma2-28b"), preset("tiny").train
    check_memory("x", model, torch.float32, CPU)
    check_training_memory("x", model, train, CPU)


def test_bytes_of_training_are_those_of_an_optimizer_that_made_a_step():
    model = VLM(preset("tiny").model)
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [t for state in optimizer.state.values() for t in state.values() if t.ndim]
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *moments]
    assert training_bytes(model, TrainConfig()) == sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_of_the_cache_are_those_that_the_cache_takes(dtype):
    config = preset("tiny").model.decoder
    cache = KVCache(config, 1, 20, dtype=dtype)
    assert cache_bytes(config, 20, dtype) == sum(t.numel() * t.element_size() for t in (cache.keys, cache.values))


# -------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_that_are_not_quantized_are_those_of_the_model(tiny_config, dtype, tied):
    config = dataclasses.replace(
        tiny_config.model, decoder=dataclasses.replace(tiny_config.model.decoder, tied_head=tied)
    )
    model = VLM(config).to(dtype)
    assert weight_bytes(model, dtype) == sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_quantized_weights_are_those_that_the_model_holds(tiny_config, form):
    model = quantize(VLM(tiny_config.model), form)
    held = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert weight_bytes(model, torch.float32) == held
    shape = quantize_shape(on_meta(tiny_config.model, "tiny"), form, torch.float32)
    assert weight_bytes(shape, torch.float32) == held
    assert parameters(shape) == parameters(VLM(tiny_config.model))


def test_answer_takes_weights_cache_activations_and_what_was_there_before(tiny_config):
    model = on_meta(tiny_config.model, "tiny")
    told = answer_memory(model, torch.float32, batch=3, prompt=10, tokens=5, baseline=1000)
    cache = KVCache(tiny_config.model.decoder, 3, 14, torch.float32)
    assert told.weights == weight_bytes(model, torch.float32)
    assert told.cache == cache.keys.nbytes + cache.values.nbytes
    assert told.activations == activation_bytes(tiny_config.model, torch.float32, 3, 10, 3)
    assert told.peak == told.weights + told.kernels + told.cache + told.activations + 1000
    assert told.to_dict()["peak"] == told.peak


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_packed_copies_count_where_the_stored_weights_stay(tiny_config, monkeypatch, form):
    kernels = {"int8": (PackedInt8, WeightOnlyInt8, WidenedInt8), "int4": (PackedInt4, WidenedInt4, WidenedInt4)}[form]
    for kernel in (PackedInt8, PackedInt4):
        monkeypatch.setattr(kernel, "available", classmethod(lambda cls: True))
    model = quantize_shape(on_meta(tiny_config.model, "tiny"), form, torch.float32)
    quantized = weight_bytes(model, torch.float32) - 4 * sum(one.numel() for one in model.parameters())

    def copies(*chosen, **given):
        monkeypatch.setattr(linear, "choose", lambda *args: Choice(chosen))
        return answer_memory(model, torch.float32, prompt=10, tokens=5, **given).kernels

    packed, other, plain = kernels
    assert copies(packed, packed, plain) == 0  # in a file, whose pages are let go
    assert copies(packed, packed, plain, mapped=False) == quantized
    assert copies(other, other, packed) == quantized  # for a token they are read
    assert copies(plain, plain, plain, mapped=False) == 0
    assert copies(packed, packed, plain, mapped=False, device=torch.device("meta")) == 0


def test_large_matrices_need_a_workspace(tiny_config, monkeypatch):
    model = on_meta(tiny_config.model, "tiny")
    before = answer_memory(model, torch.float32, prompt=10, tokens=5)
    monkeypatch.setattr(memory, "is_large", lambda numbers: True)
    after = answer_memory(model, torch.float32, prompt=10, tokens=5)
    assert (before.kernels, after.kernels) == (0, memory._WORKSPACE)
    assert after.peak == before.peak + memory._WORKSPACE


@pytest.mark.parametrize("change", [{"batch": 2}, {"prompt": 40}, {"tokens": 9}, {"images": 5}, {"baseline": 7}])
def test_each_argument_of_answer_memory_changes_it(tiny_config, change):
    model = on_meta(tiny_config.model, "tiny")
    given = {"batch": 1, "prompt": 10, "tokens": 5}
    assert answer_memory(model, torch.float32, **{**given, **change}) != answer_memory(model, torch.float32, **given)
