"""Clocks: of work on a device, and of the answers that a model gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def wait(device: torch.device) -> None:
    """Wait until the device has done all its work: calls to a GPU return before that."""
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
        steps_at: When each step of generation had its logits.
        read: Tokens that had been read before each pass, prompt included, of the longest row.
    """

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.encode_seconds = 0.0
        self.steps_at: list[float] = []
        self.read: list[int] = []

    def to_dict(self) -> dict[str, Any]:
        """Return the seconds of encoding, of the first token and of all, and the tokens a second after the first."""
        values: dict[str, Any] = {"encode_seconds": round(self.encode_seconds, 4)}
        if self.steps_at:
            first = self.steps_at[0]
            values["first_token_seconds"] = round(first - self.started, 4)
            # A step gives several tokens where they were guessed right, and the next pass tells how many they were.
            # So the last step, behind which there is none, is left out.
            passes = self.read[1:]
            if len(passes) > 1:
                tokens, seconds = passes[-1] - passes[0], self.steps_at[len(passes) - 1] - first
                values["tokens_per_second"] = round(tokens / seconds, 2)
        values["seconds"] = round(time.perf_counter() - self.started, 4)
        return values


@contextmanager
def watching(model: Any) -> Iterator[Watch]:
    """Context in which one answer of a model is timed.

    While it lasts, timed functions stand in for the model's `encode`, `features` and `head`, so that neither the model
    nor whoever asks it need know of it. Contexts may be nested.

    Args:
        model: A `VLM`, or what answers like one.
    """
    encode, features, head, device = model.encode, model.features, model.head, model.device
    watch = Watch()

    def timed_encode(images: Tensor) -> Tensor:
        clock = Stopwatch(device)
        visual = encode(images)
        watch.encode_seconds += clock.lap()
        return visual

    def noted_features(batch: Any, cache: Any = None, last: bool = False) -> Tensor:
        watch.read.append(0 if cache is None else cache.length)
        hidden: Tensor = features(batch, cache, last=last)
        return hidden

    def noted_head(hidden: Tensor) -> Tensor:
        logits = head(hidden)
        wait(device)
        watch.steps_at.append(time.perf_counter())
        return logits

    before = dict(vars(model))
    standing_in = {"encode": timed_encode, "features": noted_features, "head": noted_head}
    vars(model).update(standing_in)
    try:
        yield watch
    finally:
        for name in standing_in:
            del vars(model)[name]
        vars(model).update({name: before[name] for name in standing_in if name in before})
