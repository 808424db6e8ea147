"""Recording on CUDA: what a function launches, as a CUDA graph."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

_one_at_a_time = threading.Lock()  # PyTorch records one graph at a time in a process


class CudaRecorder:
    """Records CUDA graphs, which share one pool of memory: they run one after another.

    Args:
        device: That the functions compute on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side: torch.cuda.Stream | None = None
        self._newest: Callable[[], torch.cuda.CUDAGraph | None] = lambda: None  # a weak reference

    def ready(self) -> bool:
        """Whether this is the device's default stream, which orders what several threads tell it."""
        there = torch.cuda.current_stream(self._device) == torch.cuda.default_stream(self._device)
        return there and not torch.cuda.is_current_stream_capturing()

    def record(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what does again what `run` does; see `Recorder`."""
        # A failed recording leaves its stream the current one: the outer context takes that back.
        with _one_at_a_time, torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream()):
            if self._side is None:
                self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            before = torch.cuda.current_stream()
            self._side.wait_stream(before)
            with torch.cuda.stream(self._side):
                run()  # whatever is set up on first use is set up now
            before.wait_stream(self._side)
            # Of a graph that lives: a pool is given up with its last graph, and cannot be asked for again.
            newest = self._newest()
            pool = None if newest is None else newest.pool()
            graph = torch.cuda.CUDAGraph()
            # Other threads may go on to allocate memory.
            with torch.cuda.graph(graph, pool=pool, stream=self._side, capture_error_mode="thread_local"):
                made = run()
        self._newest = weakref.ref(graph)

        def replay() -> Tensor:
            graph.replay()
            return made

        return replay
