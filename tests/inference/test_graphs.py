"""How CUDA is told to record, seen by what stands in for it; `tests/test_gpu.py` records in earnest."""

import gc
from contextlib import contextmanager

import pytest
import torch

from ojito.inference.graphs import CudaRecorder

DEVICE = torch.device("cuda:0")


class Cuda:
    """Streams and graphs that do nothing but say what they were asked for."""

    def __init__(self, monkeypatch):
        self.current, self.capturing, self.fails = "default", False, False
        self.said, self.numbers = [], iter(range(9))
        cuda = self

        class Stream:
            def wait_stream(self, other):
                cuda.said.append("wait")

        class Graph:
            def __init__(self):
                self.number, self.made_in = next(cuda.numbers), None

            def pool(self):
                return f"pool of {self.made_in}"

            def replay(self):
                cuda.said.append(f"replay {self.number}")

        default = Stream()
        self.current = default

        @contextmanager
        def stream(chosen):
            before, self.current = self.current, chosen
            try:
                yield
            finally:
                self.current = before

        @contextmanager
        def graph(made, pool, stream, capture_error_mode):
            made.made_in = made.number if pool is None else pool.removeprefix("pool of ")
            cuda.said.append(f"graph {made.number} in {pool}, {capture_error_mode}")
            self.current = stream
            yield
            if self.fails:
                raise RuntimeError("an operation waits")  # and the stream stays
            self.current = default

        parts = {
            "Stream": Stream, "CUDAGraph": Graph, "stream": stream, "graph": graph,
            "current_stream": lambda *device: self.current, "default_stream": lambda device: default,
            "is_current_stream_capturing": lambda: self.capturing, "device": lambda device: stream(self.current),
        }  # fmt: skip
        for name, part in parts.items():
            monkeypatch.setattr(torch.cuda, name, part)


@pytest.fixture
def cuda(monkeypatch):
    return Cuda(monkeypatch)


def test_function_runs_before_it_is_recorded(cuda):
    ran = []

    def run():
        ran.append(cuda.current)
        cuda.said.append("run")
        return torch.ones(1)

    default = cuda.current
    replay = CudaRecorder(DEVICE).record(run)
    assert cuda.said == ["wait", "run", "wait", "graph 0 in None, thread_local", "run"]
    assert ran[0] is ran[1] is not default
    assert cuda.current is default
    assert replay() is replay()
    assert cuda.said[-2:] == ["replay 0", "replay 0"]


def test_graphs_share_the_pool_of_one_that_lives(cuda):
    recorder = CudaRecorder(DEVICE)
    first, second = (recorder.record(lambda: torch.ones(1)) for _ in range(2))
    del first
    third = recorder.record(lambda: torch.ones(1))
    del second, third
    gc.collect()
    recorder.record(lambda: torch.ones(1))
    graphs = [one for one in cuda.said if one.startswith("graph")]
    assert [one.split(",")[0] for one in graphs] == [
        "graph 0 in None", "graph 1 in pool of 0", "graph 2 in pool of 0", "graph 3 in None",
    ]  # fmt: skip


def test_failed_recording_leaves_the_stream_as_it_was(cuda):
    cuda.fails, default = True, cuda.current
    with pytest.raises(RuntimeError, match="an operation waits"):
        CudaRecorder(DEVICE).record(lambda: torch.ones(1))
    assert cuda.current is default


def test_only_the_default_stream_records_and_only_where_nobody_else_does(cuda):
    recorder = CudaRecorder(DEVICE)
    assert recorder.ready()
    cuda.capturing = True
    assert not recorder.ready()
    cuda.capturing, cuda.current = False, object()
    assert not recorder.ready()
