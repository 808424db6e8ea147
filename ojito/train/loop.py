"""START HERE: the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ojito.config import TrainConfig
from ojito.device import fast_bfloat16
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.records import Batch
from ojito.train.loss import count_labels, token_loss
from ojito.train.optim import optimizers, set_rate, set_trainable
from ojito.train.progress import Display, Metrics
from ojito.train.schedule import Clock, lr_factor

PATIENCE = 10
"""Steps in a row without a finite loss and gradient that a run survives."""


class TrainingError(OjitoError):
    """A run that cannot go on. The model keeps the weights of the last good step."""


@dataclass
class History:
    """What a run was like.

    Attributes:
        steps: Steps done, skipped ones included.
        seconds: Time they took, data included and evaluation left out.
        samples: Rows learned from.
        log: A mapping for every `log_every` steps: step, loss, lr, samples_per_second, seconds.
        evaluations: A mapping for every evaluation: step, seconds, and what `on_eval` returned.
        skipped: Steps whose loss or gradient was not finite, and which changed nothing.
        interrupted: Whether Ctrl-C ended the run.
    """

    steps: int = 0
    seconds: float = 0.0
    samples: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    interrupted: bool = False


def fit(
    model: VLM,
    batches: Iterable[Batch],
    config: TrainConfig,
    clock: Clock | None = None,
    *,
    out: Path | str | None = None,
    on_eval: Callable[[], Mapping[str, Any]] | None = None,
    on_log: Callable[[Mapping[str, Any]], None] | None = None,
    quiet: bool = False,
) -> History:
    """Trains a model in place, on the device where it is, and leaves it in evaluation mode.

    Ctrl-C ends the run as if it were over: the caller saves what was learned.

    Args:
        model: The model, in float32.
        batches: Without end; each holds `batch_size` / `accumulate` rows.
        config: The recipe's `train`.
        clock: Of the run, for a caller who wants to know how far it came, even if it fails.
        out: A folder for metrics.jsonl.
        on_eval: Called every `eval_every` steps, outside the time that counts; returns scores.
        on_log: Told each line of the log.
        quiet: Shows no progress.

    Raises:
        TrainingError: Too many steps in a row without a finite loss and gradient, or the batches ended.
    """
    clock = clock or Clock(config)
    set_trainable(model, config)
    stepper = _Stepper(model, iter(batches), config)
    history = History()
    with Display(quiet) as display, Metrics(out) as metrics:
        clock.start()
        window = _Window(clock)
        over = clock.done
        try:
            while not over:
                rate = lr_factor(clock.progress(ahead=0.5), config)
                step = stepper.step(clock, rate)
                clock.tick()
                over = clock.done
                history.steps, history.seconds = clock.step, clock.seconds
                history.samples += step.samples
                window.add(step)
                if not step.finite:
                    history.skipped.append(clock.step)
                    display.say(f"step {clock.step}: loss or gradient is not finite; skipped")
                    _stop_if_hopeless(history.skipped, config)

                display.show(clock.progress(), clock.step, window.loss, window.samples_per_second, clock.seconds)
                if clock.step % config.log_every == 0 or over:
                    line = window.line(config.lr * rate)
                    history.log.append(line)
                    metrics.write(line)
                    if on_log:
                        on_log(line)
                    window = _Window(clock)
                if on_eval and config.eval_every and clock.step % config.eval_every == 0:
                    with clock.paused(), display.paused():
                        scores = dict(on_eval())
                    set_trainable(model, config)  # whoever evaluates may have left it in evaluation mode
                    line = {"step": clock.step, "seconds": round(clock.seconds, 3), **scores}
                    history.evaluations.append(line)
                    metrics.write({"evaluation": True, **line})
                    display.say(f"step {clock.step}: " + "  ".join(f"{k} {_short(v)}" for k, v in scores.items()))
        except KeyboardInterrupt:
            history.interrupted = True
            display.say(f"interrupted after step {history.steps}")
        finally:
            model.eval()
            model.zero_grad()
    return history


@dataclass(frozen=True)
class _Step:
    """What one step saw."""

    loss: float  # sum over labelled tokens, nats
    labels: int
    samples: int
    finite: bool


class _Stepper:
    """Takes steps: batches in, weights changed."""

    def __init__(self, model: VLM, batches: Iterator[Batch], config: TrainConfig) -> None:
        self.model, self.batches, self.config = model, batches, config
        self.optimizers: list[Optimizer] = optimizers(model, config)
        self.learning: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
        self.device = self.learning[0].device
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(self.device))

    def step(self, clock: Clock, rate: float) -> _Step:
        """One update from `accumulate` micro-batches, at `rate` times the peak learning rates.

        It changes nothing when the loss or the gradient is not finite.
        """
        micro_batches = self._gather(clock)
        # One count for all of them, so that accumulation changes memory and time but never the gradient.
        labels = sum(count_labels(batch) for batch in micro_batches)
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        loss = torch.zeros((), device=self.device)
        for batch in micro_batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                part = token_loss(self.model, batch)
            (part / max(labels, 1)).backward()  # type: ignore[no-untyped-call]
            loss += part.detach()
        norm = nn.utils.clip_grad_norm_(self.learning, self.config.clip or math.inf)
        total = float(loss)
        finite = math.isfinite(total) and math.isfinite(float(norm))
        if finite:
            set_rate(self.optimizers, rate)
            for optimizer in self.optimizers:
                optimizer.step()
        else:  # the forward pass has moved batch norm's running statistics already
            for buffer, before in zip(self.model.buffers(), statistics, strict=True):
                buffer.copy_(before)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        return _Step(total, labels, sum(len(batch.tokens) for batch in micro_batches), finite)

    def _gather(self, clock: Clock) -> list[Batch]:
        try:
            return [next(self.batches).to(self.device) for _ in range(self.config.accumulate)]
        except StopIteration:
            raise TrainingError(
                f"the batches ended after step {clock.step}; give an iterator without end, for example data.Batches"
            ) from None


class _Window:
    """Sums over the steps since the last line of the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._start = clock, clock.seconds
        self._loss, self._labels, self._samples = 0.0, 0, 0

    def add(self, step: _Step) -> None:
        self._samples += step.samples
        if step.finite:
            self._loss += step.loss
            self._labels += step.labels

    @property
    def loss(self) -> float | None:
        """Mean over labelled tokens, nats; None if there was none."""
        return round(self._loss / self._labels, 6) if self._labels else None

    @property
    def samples_per_second(self) -> float:
        return self._samples / max(self._clock.seconds - self._start, 1e-9)

    def line(self, lr: float) -> dict[str, Any]:
        """Of the log."""
        return {
            "step": self._clock.step,
            "loss": self.loss,
            "lr": lr,
            "samples_per_second": round(self.samples_per_second, 1),
            "seconds": round(self._clock.seconds, 3),
        }


def _stop_if_hopeless(skipped: list[int], config: TrainConfig) -> None:
    if len(skipped) < PATIENCE or skipped[-1] - skipped[-PATIENCE] >= PATIENCE:
        return
    raise TrainingError(
        f"steps {skipped[-PATIENCE]} to {skipped[-1]} had no finite loss and gradient, {PATIENCE} in a row; "
        f"lower train.lr (it is {config.lr:g}), set train.clip (it is {config.clip:g}), "
        "or use train.precision=float32"
    )


def _short(score: Any) -> str:
    return f"{score:.3f}" if isinstance(score, float) else str(score)
