import pytest
import torch

from ojito import device as module
from ojito.device import available_memory, fast_bfloat16, pick_device


def test_device_auto_is_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


def test_device_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(module, "_accelerators", list)
    assert pick_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "xpu"])
def test_device_that_is_unknown_is_an_error_with_the_choices(name):
    with pytest.raises(ValueError, match="is not one of auto, cpu, cuda, mps"):
        pick_device(name)


def test_device_that_this_machine_lacks_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "_accelerators", list)
    with pytest.raises(ValueError, match="'cuda' is not available to PyTorch here; use auto, or one of cpu"):
        pick_device("cuda")


def test_device_number_beyond_the_last_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "_accelerators", lambda: ["cuda"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="there are 2; use cuda:0"):
        pick_device("cuda:2")


@pytest.mark.parametrize(("amx", "avx512", "fast"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_bfloat16_is_fast_on_a_cpu_that_multiplies_it_in_hardware(monkeypatch, amx, avx512, fast):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx), raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(avx512), raising=False)
    assert fast_bfloat16("cpu") is fast


def test_bfloat16_counts_as_slow_when_pytorch_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert fast_bfloat16("cpu") is False


def test_memory_that_pytorch_holds_for_no_tensor_is_available(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert available_memory("cuda") == 1500


def test_available_memory_is_a_number_of_bytes():
    assert available_memory("cpu") > 2**20
