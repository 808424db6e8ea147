"""What reading takes in memory: views of the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ojito.checkpoint.files import WEIGHTS
from ojito.checkpoint.keys import Key, KeyMap, Section
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.tensors.writing import write_weights
from tests.checkpoint.tensors.small import on_meta, state

ROOT = Path(__file__).parents[4]


def mapped(path):
    """The ranges of addresses at which this process has the file mapped."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            ranges.append(range(*(int(address, 16) for address in line.split()[0].split("-"))))
    return ranges


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@linux
def test_tensor_in_the_files_dtype_is_a_view_of_the_file(folder):
    read = read_weights(folder, on_meta(state()), torch.float32)
    places = mapped((folder / WEIGHTS).resolve())
    assert places
    for tensor in read.values():
        assert any(tensor.data_ptr() in place for place in places)


@linux
def test_tensor_in_another_dtype_is_no_view_of_the_file(folder):
    read = read_weights(folder, on_meta(state()), torch.bfloat16)
    places = mapped((folder / WEIGHTS).resolve())
    assert not any(read["a"].data_ptr() in place for place in places)


@linux
def test_part_of_a_fused_tensor_is_a_view_of_the_file(tmp_path):
    fused = KeyMap((Section("", ("",), {name: Key("qkv", part=i, parts=3) for i, name in enumerate("qkv")}),))
    write_weights(tmp_path, {"qkv.weight": torch.randn(6, 4)})
    read = read_weights(tmp_path, {f"{name}.weight": torch.zeros(2, 4) for name in "qkv"}, keys=fused)
    places = mapped((tmp_path / WEIGHTS).resolve())
    assert all(any(tensor.data_ptr() in place for place in places) for tensor in read.values())


def test_weights_that_change_in_memory_do_not_change_the_file(folder):
    before = (folder / WEIGHTS).read_bytes()
    read_weights(folder, state())["a"].zero_()
    assert (folder / WEIGHTS).read_bytes() == before


MEASURE = """
import re, sys
from pathlib import Path
import torch
from ojito.checkpoint.tensors import reading

def memory(which):
    return int(re.search(rf"{which}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

folder = Path(sys.argv[1])
expected = {f"t{i}": torch.zeros(2**20, device="meta") for i in range(32)}
for dtype, release in (("bfloat16", 8), ("float32", 8), ("float32", 10**6)):
    reading._RELEASE = release * 2**20
    reading.read_weights(folder / "warm", {"t": torch.zeros(1)}, getattr(torch, dtype))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    read = reading.read_weights(folder, expected, getattr(torch, dtype))
    print(memory("VmHWM") - before)
    del read
"""


@linux
def test_memory_holds_the_target_and_little_of_the_file(tmp_path):
    """Of a file of 64 MiB in bfloat16: MiB as a view; in float32, 128 MiB; and so without letting go of the file."""
    (tmp_path / "warm").mkdir()
    write_weights(tmp_path, {f"t{i}": torch.full((2**20,), i, dtype=torch.bfloat16) for i in range(32)})
    write_weights(tmp_path / "warm", {"t": torch.zeros(1, dtype=torch.bfloat16)})
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    view, converted, kept = map(int, done.stdout.split())
    assert view < 8
    assert 120 < converted < 128 + 8 + 16
    assert kept > converted + 32
