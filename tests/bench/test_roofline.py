"""What the prompt multiplies and what a step reads, counted by hand."""

import dataclasses

import pytest
import torch

from ojito.bench import roofline
from ojito.bench.roofline import Limits, measure_limits, prompt_operations, step_bytes
from ojito.inference.kernels import IntInt8
from ojito.inference.quantize import quantize_shape
from ojito.memory import cache_bytes, weight_bytes
from ojito.model.meta import on_meta

LINEAR = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)  # weights of the two layers: q, k, v, out, gated MLP


def shape(tiny_config, **changes):
    decoder = dataclasses.replace(tiny_config.model.decoder, **changes)
    return on_meta(dataclasses.replace(tiny_config.model, decoder=decoder), "tiny")


def test_prompt_multiplies_every_weight_with_every_token_and_the_head_with_the_last(tiny_config):
    attention = 2 * (2 * 2 * 10 * 10 * 32)  # two layers: scores and their weighted sums
    expected = 2 * LINEAR * 10 + attention + 2 * 64 * 32
    assert prompt_operations(shape(tiny_config), 1, 10, 0) == expected
    assert prompt_operations(shape(tiny_config), 3, 10, 0) == 3 * expected


def test_images_count_as_the_tower_and_the_connector_multiply_them(tiny_config):
    text, both = (prompt_operations(shape(tiny_config), 1, 10, images) for images in (0, 2))
    stem, connector = 4 * 3 * 64 * 32, 4 * 2 * 32 * 32
    layer = 4 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 4 * 4 * 32
    assert both - text == 2 * 2 * (stem + layer + connector)


@pytest.mark.parametrize("form", ["none", "int8", "int4"])
def test_step_reads_the_decoder_and_the_cache(tiny_config, form):
    model = shape(tiny_config)
    if form != "none":
        model = quantize_shape(model, form, torch.bfloat16)
    weights = weight_bytes(model.decoder, torch.bfloat16)
    cache = cache_bytes(model.config.decoder, 30, torch.bfloat16)
    assert step_bytes(model, torch.bfloat16, 4, 30) == weights + 4 * cache


def test_step_reads_no_tables_that_it_only_looks_into(tiny_config):
    tied = step_bytes(shape(tiny_config), torch.float32, 1, 5)
    assert step_bytes(shape(tiny_config, tied_head=False), torch.float32, 1, 5) == tied
    learned = step_bytes(shape(tiny_config, positions="learned"), torch.float32, 1, 5)
    assert learned == tied


def test_limits_count_products_of_bytes_only_for_quantized_weights(monkeypatch):
    rates = {torch.float32: 1.0, torch.int8: 5.0}
    monkeypatch.setattr(roofline, "product_rate", lambda dtype, device, seconds: rates[dtype])
    monkeypatch.setattr(roofline, "read_rate", lambda device, seconds: 2.0)
    monkeypatch.setattr(IntInt8, "available", classmethod(lambda cls: True))
    cpu = torch.device("cpu")
    assert measure_limits(torch.float32, cpu, "none").operations_per_second == 1.0
    assert measure_limits(torch.float32, cpu, "int8").operations_per_second == 5.0
    assert measure_limits(torch.float32, cpu, "none").bytes_per_second == 2.0


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_what_the_processor_lacks_says_nothing_of_a_gpu(monkeypatch, device):
    monkeypatch.setattr(roofline, "product_rate", lambda dtype, device, seconds: 5.0 if dtype == torch.int8 else 1.0)
    monkeypatch.setattr(roofline, "read_rate", lambda device, seconds: 2.0)
    monkeypatch.setattr(IntInt8, "available", classmethod(lambda cls: False))
    assert measure_limits(torch.bfloat16, torch.device(device), "int8").operations_per_second == 5.0
    assert measure_limits(torch.bfloat16, torch.device("cpu"), "int8").operations_per_second == 1.0


def test_device_without_products_of_bytes_has_those_of_its_dtype(monkeypatch):
    def rate(dtype, device, seconds):
        if dtype == torch.int8:
            raise RuntimeError("not here")
        return 1.0

    monkeypatch.setattr(roofline, "product_rate", rate)
    monkeypatch.setattr(roofline, "read_rate", lambda device, seconds: 2.0)
    assert measure_limits(torch.float32, torch.device("cpu"), "int4").operations_per_second == 1.0


def test_faster_of_two_measurements_counts():
    assert Limits(1.0, 4.0).faster(Limits(2.0, 3.0)) == Limits(2.0, 4.0)
