"""Rates of reading and of matrix products: that they count the right work, not how fast it is."""

import pytest
import torch

from ojito.meter import speed
from ojito.meter.speed import product_rate, read_rate

CPU = torch.device("cpu")


@pytest.fixture
def half_a_second(monkeypatch):
    """Every piece of work takes half a second."""
    monkeypatch.setattr(speed, "_seconds", lambda run, device, seconds: [0.5])


def test_reading_counts_bytes(half_a_second):
    assert read_rate(CPU, size=4096) == 8192


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_product_counts_a_multiplication_and_an_addition_for_each_weight_and_row(monkeypatch, dtype):
    monkeypatch.setattr(speed, "_seconds", lambda run, device, seconds: [0.5])
    assert product_rate(dtype, CPU, side=64) == 2 * 64**3 / 0.5
    assert product_rate(dtype, CPU) == 2 * 512 * 2048**2 / 0.5


def test_fastest_kernel_counts_and_one_that_is_not_there_does_not(monkeypatch):
    def missing(rows, weight):
        raise RuntimeError("not on this processor")

    seconds = {"slow": 2.0, "fast": 1.0}
    kernels = [lambda rows, weight: "slow", missing, lambda rows, weight: "fast"]
    monkeypatch.setattr(speed, "_kernels", lambda dtype, device: kernels)
    monkeypatch.setattr(speed, "_seconds", lambda run, device, _: [seconds[run()]])
    assert product_rate(torch.float32, CPU, side=8) == 2 * 8**3


def test_median_counts_and_for_a_limit_the_fastest(monkeypatch):
    monkeypatch.setattr(speed, "_seconds", lambda run, device, seconds: [2.0, 0.5, 1.0])
    assert product_rate(torch.float32, CPU, side=8, most=False) == 2 * 8**3
    assert product_rate(torch.float32, CPU, side=8, most=True) == 4 * 8**3


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_rates_are_measured(dtype):
    assert product_rate(dtype, CPU, side=32, seconds=0.001) > 0
    assert read_rate(CPU, size=2**16, seconds=0.001) > 0
