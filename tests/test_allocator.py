import resource
import sys

import pytest
import torch

from ojito import allocator
from ojito.allocator import give_back_freed_memory, keeping_freed_memory, mapping_large_pieces
from ojito.meter.memory import memory_now

STEPS = 20
NUMBERS = 2**20


def faults():
    """Pages that the system hands out while memory is taken and freed again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        tensors = [torch.ones(NUMBERS, dtype=torch.int64) for _ in range(4)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def has_gnu_c_library():
    return allocator._function("mallopt") is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library on Linux is told")
@pytest.mark.skipif(not has_gnu_c_library(), reason="not the GNU C library")
def test_freed_memory_is_kept_within():
    with keeping_freed_memory():
        faults()
        kept = faults()
    pages = 4 * NUMBERS * 8 // resource.getpagesize()
    assert kept < pages < faults()  # all the steps together need less than one of them, where memory is kept


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library on Linux is told")
@pytest.mark.skipif(not has_gnu_c_library(), reason="not the GNU C library")
def test_freed_memory_is_given_back_when_that_is_said():
    cpu = torch.device("cpu")
    with keeping_freed_memory():
        pieces = [torch.ones(2**20, dtype=torch.int64) for _ in range(8)]  # 64 MiB in all
        there = memory_now(cpu)
        del pieces
        kept = memory_now(cpu)
        give_back_freed_memory()
        assert kept > there - 2**24
        assert memory_now(cpu) < there - 3 * 2**24


def test_without_the_gnu_c_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator, "_function", lambda name: None)
    give_back_freed_memory()
    with keeping_freed_memory(), mapping_large_pieces():
        pass


def test_parameters_are_as_usual_afterwards(monkeypatch):
    called = []
    monkeypatch.setattr(allocator, "_function", lambda name: lambda *values: called.append((name, *values)))
    with keeping_freed_memory():
        assert len(called) == 3
    assert {values[0] for _, *values in called[3:6]} == {values[0] for _, *values in called[:3]}
    assert {values[1] for _, *values in called[3:6]} == {128 * 2**10}
    assert called[6] == ("malloc_trim", 0)


def test_inner_context_gives_nothing_back(monkeypatch):
    called = []
    monkeypatch.setattr(allocator, "_function", lambda name: lambda *values: called.append((name, *values)))
    with keeping_freed_memory():
        with keeping_freed_memory():
            pass
        assert len(called) == 3
    assert len(called) == 7


def test_threshold_is_that_of_the_outer_context_afterwards(monkeypatch):
    called = []
    monkeypatch.setattr(allocator, "_function", lambda name: lambda *values: called.append(values))
    with keeping_freed_memory():
        with mapping_large_pieces():
            assert called[-1] == (-3, 8 * 2**20)
        assert called[-1] == (-3, 32 * 2**20)
    with mapping_large_pieces():
        pass
    assert called[-1] == (-3, 128 * 2**10)
