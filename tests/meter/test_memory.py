"""Memory of this process, as the system tells it."""

import sys

import pytest
import torch

from ojito.meter import memory
from ojito.meter.memory import baseline_memory, memory_now, peak_memory, reset_peak

CPU = torch.device("cpu")
LARGE = 2**26  # bytes


def test_peak_holds_what_was_freed():
    reset_peak(CPU)
    before = memory_now(CPU)
    held = torch.ones(LARGE // 4)
    assert memory_now(CPU) - before > 0.9 * LARGE
    del held
    assert peak_memory(CPU) - before > 0.9 * LARGE


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot begin anew")
def test_peak_begins_anew():
    held = torch.ones(LARGE // 4)
    del held
    before = peak_memory(CPU)
    if not reset_peak(CPU):
        pytest.skip("this system does not let a process reset its peak")
    assert peak_memory(CPU) <= before


def test_peak_is_told_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "no" / "clear_refs")
    assert peak_memory(CPU) > 2**24
    assert memory_now(CPU) == peak_memory(CPU)
    assert not reset_peak(CPU)


def test_peak_is_the_number_that_linux_tells(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
    monkeypatch.setattr(memory, "_STATUS", status)
    assert (peak_memory(CPU), memory_now(CPU)) == (2 * 2**20, 2**20)


def test_baseline_is_at_least_what_is_taken_now():
    assert baseline_memory(CPU) > memory_now(CPU)
