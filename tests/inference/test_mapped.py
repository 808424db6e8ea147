import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ojito.inference.mapped import Pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")


def file_memory():
    """Bytes of this process's memory that are pages of files."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile")) * 1024


@pytest.mark.parametrize("written", [False, True])
def test_pages_of_a_mapped_tensor_are_let_go_and_come_back(tmp_path, written):
    numbers = torch.arange(2**23, dtype=torch.int32)
    save_file({"a": numbers}, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        tensor = file.get_tensor("a")
    assert torch.equal(tensor, numbers)
    before = file_memory()
    Pages([tensor]).let_go(written)
    assert before - file_memory() > 0.9 * tensor.nbytes
    assert torch.equal(tensor, numbers)


def test_numbers_that_were_written_stay(tmp_path):
    save_file({"a": torch.zeros(2**20)}, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        tensor = file.get_tensor("a")
    tensor.add_(1)
    Pages([tensor]).let_go(written=True)
    assert bool((tensor == 1).all())


@pytest.mark.parametrize("written", [False, True])
def test_ordinary_memory_is_left_alone(written):
    tensor = torch.ones(2**20)
    Pages([tensor]).let_go(written)
    assert bool((tensor == 1).all())
