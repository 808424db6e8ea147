"""The record of a run: its steps, and the sums between two lines of its log."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ojito.errors import ConfigError, nearest
from ojito.trainer.schedule import Clock

LESS_IS_BETTER = ("loss", "perplexity")
"""Scores of which the smallest is the best."""


@dataclass(frozen=True)
class Step:
    """Result of one step.

    Attributes:
        loss: Sum over the labelled tokens, nats.
        labels: Labelled tokens.
        samples: Rows.
        finite: Whether loss, gradient and batch norm's statistics were finite. If not, the step changed nothing.
        norms: Norm of the gradient of each part that learns, and of "all", before they were clipped.
        tokens: Tokens of all rows, image tokens included and padding not.
        operations: Of matrix products and convolutions, see `flops.Operations`.
        language_operations: Those of the decoder and its head alone.
    """

    loss: float
    labels: int
    samples: int
    finite: bool
    norms: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    operations: float = 0.0
    language_operations: float = 0.0


@dataclass
class Window:
    """Sums over the steps since the last line of the log.

    Attributes:
        loss: Of the labelled tokens, nats.
        labels: Labelled tokens.
        samples: Rows.
        seconds: Of the clock, when the window was opened.
        lr: Learning rate of the last step.
        tokens: Tokens without padding.
        operations: Of matrix products and convolutions.
        language_operations: Those of the decoder and its head alone.
    """

    loss: float = 0.0
    labels: int = 0
    samples: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    tokens: int = 0
    operations: float = 0.0
    language_operations: float = 0.0

    def add(self, step: Step, lr: float) -> None:
        """Count a step; the loss of one that changed nothing is left out."""
        self.lr = lr
        self.samples += step.samples
        self.tokens += step.tokens
        self.operations += step.operations
        self.language_operations += step.language_operations
        if step.finite:
            self.loss += step.loss
            self.labels += step.labels

    @property
    def mean_loss(self) -> float | None:
        """Mean over labelled tokens, nats; None if there was none."""
        return round(self.loss / self.labels, 6) if self.labels else None

    def samples_per_second(self, clock: Clock) -> float:
        """Rows learned from in a second of training."""
        return self.samples / max(clock.seconds - self.seconds, 1e-9)

    def line(self, clock: Clock) -> dict[str, Any]:
        """The line of the log that these steps make."""
        return {
            "step": clock.step,
            "loss": self.mean_loss,
            "lr": self.lr,
            "samples": clock.samples,
            "samples_per_second": round(self.samples_per_second(clock), 1),
            "seconds": round(clock.seconds, 3),
        }


@dataclass
class History:
    """Record of a training run.

    Attributes:
        steps: Steps done, skipped ones and those before a resume included.
        seconds: Time they took, data included and evaluation left out.
        samples: Rows learned from.
        log: A mapping for every `log_every` steps: step, loss, lr, samples, samples_per_second, seconds, the figures of
            `Usage` and those of each part. After a resume it begins with the last one before; metrics.jsonl has all.
        evaluations: A mapping for every evaluation: step, seconds, and its scores.
        seen: The last line of each `Watch`, by its name.
        skipped: Steps whose loss or gradient was not finite, and which changed nothing; and a last one that was taken
            back, because no finite loss came after it.
        interrupted: Whether Ctrl-C or another signal ended the run.
        signal: Number of that signal, as in the module `signal`; 0 where none ended the run.
        stopped: Whether a callback ended it.
        window: Sums since the last line of the log.
    """

    steps: int = 0
    seconds: float = 0.0
    samples: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)
    interrupted: bool = False
    signal: int = 0
    stopped: bool = False
    window: Window = field(default_factory=Window)

    def go_on(self) -> None:
        """Forget what ended the run before."""
        self.interrupted, self.signal, self.stopped = False, 0, False

    def count(self, step: Step, clock: Clock, lr: float) -> None:
        """Count a step that was taken.

        Args:
            step: The step.
            clock: Of the run, which has counted it.
            lr: Its learning rate.
        """
        self.steps, self.seconds, self.samples = clock.step, clock.seconds, clock.samples
        self.window.add(step, lr)
        if not step.finite:
            self.skipped.append(clock.step)

    def interrupt(self, error: KeyboardInterrupt) -> None:
        """Take down that this ended the run."""
        self.interrupted, self.signal = True, getattr(error, "signal", signal.SIGINT)

    def log_is_due(self, every: int, over: bool) -> bool:
        """Whether the last step ends a line of the log.

        Args:
            every: Steps to a line.
            over: Whether the run is over, so that the last line may be of fewer steps.
        """
        return _last_step(self.log) < self.steps and (over or self.steps % every == 0)

    def log_line(self, clock: Clock, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Add a line to the log and return it.

        Args:
            clock: Of the run.
            figures: More of them, of the last step.
        """
        line = {**self.window.line(clock), **figures}
        self.log.append(line)
        self.window = Window(seconds=clock.seconds)
        return line

    def evaluation_is_due(self, every: int) -> bool:
        """Whether the model is to be scored after the last step; `every` is in steps, and 0 means never."""
        return every > 0 and self.steps % every == 0 and _last_step(self.evaluations) < self.steps

    def best(self, score: str) -> int:
        """Return the step of the evaluation with the best score, the first of several.

        Args:
            score: Its name; of "loss" and "perplexity", less is better.

        Raises:
            ConfigError: The evaluations have no such score.
        """
        known = [line for line in self.evaluations if isinstance(line.get(score), (int, float))]
        if not known:
            names = [name for name, value in self.evaluations[-1].items() if isinstance(value, float)]
            names = [name for name in names if name != "seconds"]
            raise ConfigError("train.score", f"{score!r} is no score of these evaluations", nearest(score, names))
        sign = -1 if score in LESS_IS_BETTER else 1
        return int(max(known, key=lambda line: (sign * line[score], -line["step"]))["step"])

    def state_dict(self) -> dict[str, Any]:
        """What a run that is gone on with has to know."""
        return {
            "log": self.log[-1:],
            "evaluations": [*self.evaluations],
            "seen": {**self.seen},
            "skipped": [*self.skipped],
            "window": vars(self.window).copy(),
        }

    def load_state_dict(self, values: Mapping[str, Any], clock: Clock) -> None:
        """Go on from what `state_dict` returned.

        Args:
            values: What it returned.
            clock: Of the run, as it was then.
        """
        self.steps, self.seconds, self.samples = clock.step, clock.seconds, clock.samples
        self.log, self.evaluations, self.skipped = (
            [*values["log"]], [*values["evaluations"]], [*values["skipped"]],
        )  # fmt: skip
        self.seen = {**values["seen"]}
        self.window = Window(**values["window"])


def _last_step(lines: list[dict[str, Any]]) -> int:
    return lines[-1]["step"] if lines else 0
