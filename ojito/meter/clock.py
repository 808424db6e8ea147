"""Clocks: of work on a device, and of the answers that a model gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was told to: a GPU returns from every call before that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Clock of work on a device, which it waits for.

    Args:
        device: That computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self._last = self._now()

    def lap(self) -> float:
        """Return the seconds since the last lap, or the start."""
        last, self._last = self._last, self._now()
        return self._last - last

    @property
    def total(self) -> float:
        """Seconds from the start to the last lap."""
        return self._last - self._start

    def _now(self) -> float:
        wait(self._device)
        return time.perf_counter()


class Watch:
    """Times of the answers that a model gives, whoever asks it: noted while `watching`.

    Attributes:
        started: When the watch began, on the clock of `time.perf_counter`.
        encode_seconds: That encoding images took, all together.
        tokens_at: When each step of generation had its logits.
    """

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.encode_seconds = 0.0
        self.tokens_at: list[float] = []

    def to_dict(self) -> dict[str, Any]:
        """Return the seconds of encoding, of the first token and of all, and the tokens a second after the first."""
        values: dict[str, Any] = {"encode_seconds": round(self.encode_seconds, 4)}
        if self.tokens_at:
            first, last = self.tokens_at[0], self.tokens_at[-1]
            values["first_token_seconds"] = round(first - self.started, 4)
            if last > first:
                values["tokens_per_second"] = round((len(self.tokens_at) - 1) / (last - first), 2)
        values["seconds"] = round(time.perf_counter() - self.started, 4)
        return values


@contextmanager
def watching(model: Any) -> Iterator[Watch]:
    """Context in which a model's answers are timed.

    Its `encode` and `head` are stood before by others that note the time and call them, so that neither the model nor
    whoever asks it need know of it.

    Args:
        model: A `VLM`, or what answers like one.
    """
    encode, head, device = model.encode, model.head, model.device
    watch = Watch()

    def timed_encode(images: Tensor) -> Tensor:
        clock = Stopwatch(device)
        visual = encode(images)
        watch.encode_seconds += clock.lap()
        return visual

    def noted_head(hidden: Tensor) -> Tensor:
        logits = head(hidden)
        wait(device)
        watch.tokens_at.append(time.perf_counter())
        return logits

    shadows = {"encode": timed_encode, "head": noted_head}
    vars(model).update(shadows)
    try:
        yield watch
    finally:
        for name in shadows:
            del vars(model)[name]
