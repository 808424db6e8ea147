import pytest
import torch

from ojito.meter import products
from ojito.meter.products import Products, find_products, gpu_peak, peak_rate

CPU = torch.device("cpu")


@pytest.mark.parametrize("bfloat16", [False, True])
def test_dtype_is_the_one_in_which_products_really_run(bfloat16):
    found = find_products(CPU, bfloat16, able=False)
    assert found.dtype == ("bfloat16" if bfloat16 else "float32")
    assert found.other == ("float32" if bfloat16 else "bfloat16")
    assert found.rate > 1e8


def test_emulated_dtype_is_not_measured(monkeypatch):
    asked = []
    monkeypatch.setattr(products, "product_rate", lambda dtype, **options: asked.append(dtype) or 1.0)
    find_products(CPU, False, able=False)
    assert asked == [torch.float32]
    find_products(CPU, False, able=True)
    assert set(asked) == {torch.float32, torch.bfloat16}


def test_line_names_dtype_library_and_rate():
    line = str(Products("float32", 1.2e11, "MKL, AVX2", "bfloat16", 0.0))
    assert line == "matrix products run in float32 (MKL, AVX2) at 0.12 TFLOP/s"


def test_line_tells_when_the_other_dtype_is_faster():
    line = str(Products("bfloat16", 1e10, "oneDNN, AVX2", "float32", 6e10))
    assert line.endswith("train.precision=float32 would be 6.0 times as fast")
    assert "would be" not in str(Products("bfloat16", 6e10, "oneDNN, AMX", "float32", 6.1e10))


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10G", 70),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce GTX 1080", 0),
    ],
)
def test_peak_of_a_gpu_is_that_of_its_name(name, teraflops):
    assert gpu_peak(name) == teraflops * 1e12


def test_peak_that_is_told_counts():
    assert peak_rate(CPU, False, 2.5) == 2.5e12


def test_peak_is_measured_once_for_a_number_of_threads(monkeypatch):
    products._measured.cache_clear()
    asked = []
    monkeypatch.setattr(products, "product_rate", lambda dtype, *_, most, **options: asked.append(dtype) or 7.0 * most)
    assert [peak_rate(CPU, bfloat16) for bfloat16 in (False, False, True)] == [7.0, 7.0, 7.0]
    assert asked == [torch.float32, torch.bfloat16]
    products._measured.cache_clear()
