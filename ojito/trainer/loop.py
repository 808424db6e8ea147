"""The training loop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Union, runtime_checkable

from ojito.config import TrainConfig
from ojito.records import Batch
from ojito.trainer.interrupts import interrupts
from ojito.trainer.last_good import LastGood
from ojito.trainer.optim import set_trainable
from ojito.trainer.progress import Display, Metrics
from ojito.trainer.schedule import Clock, lr_factor
from ojito.trainer.state import TrainingError, TrainState
from ojito.trainer.step import Step, gradients, update

PATIENCE = 10
"""Steps in a row without a finite loss and gradient that a run survives."""

Stop = Union[Literal["stop"], None]  # what a callback returns to end the run, or to let it go on
OnStep = Callable[[TrainState], Union[Stop, object]]
OnLine = Callable[[Mapping[str, Any]], Union[Stop, object]]


@runtime_checkable
class Numbered(Protocol):
    """An iterator that knows its position, as `data.Batches` does."""

    number: int


@dataclass
class History:
    """Record of a training run.

    Attributes:
        steps: Steps done, skipped ones and those before a resume included.
        seconds: Time they took, data included and evaluation left out.
        samples: Rows learned from.
        log: A mapping for every `log_every` steps: step, loss, lr, samples_per_second, seconds.
        evaluations: A mapping for every evaluation: step, seconds, and its scores.
        skipped: Steps whose loss or gradient was not finite, and which changed nothing; and a last one that was taken
            back, because no finite loss came after it.
        interrupted: Whether Ctrl-C or another signal ended the run.
        signal: Number of that signal, as in the module `signal`; 0 where none ended the run.
        stopped: Whether a callback ended it.
    """

    steps: int = 0
    seconds: float = 0.0
    samples: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    interrupted: bool = False
    signal: int = 0
    stopped: bool = False

    def interrupt(self, error: KeyboardInterrupt) -> None:
        """Take down that this ended the run."""
        self.interrupted, self.signal = True, getattr(error, "signal", signal.SIGINT)


def fit(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    out: Path | str | None = None,
    evaluate: Callable[[], Mapping[str, Any]] | None = None,
    on_step: OnStep | None = None,
    on_log: OnLine | None = None,
    on_eval: OnLine | None = None,
    quiet: bool = False,
) -> History:
    """Train a model in place, on the device where it is, and leave it in evaluation mode.

    A callback that returns "stop" ends the run after the step. Ctrl-C, SIGTERM and SIGHUP end it at once, and leave the
    weights of the last step. The caller then has what was learned.

    Args:
        state: The run: `TrainState(model, config.train)`, or one that is gone on with.
        batches: Without end; each holds `batch_size` / `accumulate` rows.
        out: A folder for metrics.jsonl, to which lines are added.
        evaluate: Called every `eval_every` steps, outside the time that counts; returns scores.
        on_step: Called after every step, with the state.
        on_log: Called with each line of the log.
        on_eval: Called with each line of scores.
        quiet: Shows no progress.

    Raises:
        TrainingError: Too many steps in a row without a finite loss and gradient, weights that give none, or the
            batches ended.
    """
    config, clock = state.config, state.clock
    set_trainable(state.model, config)
    iterator = iter(batches)
    history = History(clock.step, clock.seconds, state.samples)
    good = LastGood(state.model)
    with interrupts() as signals, Display(quiet) as display, Metrics(out) as metrics:
        clock.start()
        window = _Window(clock)
        over = clock.done
        try:
            while not over:
                rate = lr_factor(clock.progress(ahead=0.5), config)
                micro_batches = _gather(iterator, state)
                step = gradients(state, micro_batches)
                with signals.held():  # half an update is neither this step nor the last
                    if step.finite:
                        good.keep(micro_batches[-1])
                    update(state, step, rate)
                    _count(step, state, iterator, history)
                window.add(step)
                if not step.finite:
                    display.say(f"step {clock.step}: loss or gradient is not finite; skipped")
                    _check_patience(history.skipped, config)

                history.stopped = _calls_stop(on_step, state)
                over = clock.done or history.stopped
                display.show(clock.progress(), clock.step, window.loss, window.samples_per_second, clock.seconds)
                if clock.step % config.log_every == 0 or over:
                    line = window.line(config.lr * rate)
                    history.log.append(line)
                    metrics.write(line)
                    history.stopped |= _calls_stop(on_log, line)
                    window = _Window(clock)
                if evaluate and config.eval_every and clock.step % config.eval_every == 0:
                    with clock.paused(), display.paused():
                        scores = dict(evaluate())
                    set_trainable(state.model, config)  # an evaluation may have left it in evaluation mode
                    line = {"step": clock.step, "seconds": round(clock.seconds, 3), **scores}
                    history.evaluations.append(line)
                    metrics.write({"evaluation": True, **line})
                    display.say(f"step {clock.step}: " + "  ".join(f"{k} {_short(v)}" for k, v in scores.items()))
                    history.stopped |= _calls_stop(on_eval, line)
                over |= history.stopped
        except KeyboardInterrupt as error:
            history.interrupt(error)
            display.say(f"interrupted after step {history.steps}")
        finally:
            signals.hold()
            clock.stop()
            state.model.eval()
            state.model.zero_grad()
            _leave_good(state, good, history, display)
    if not state.sound:
        raise TrainingError(
            "training",
            f"the weights after step {clock.step} give no finite loss",
            f"lower train.lr (it is {config.lr:g})",
        )
    return history


def _leave_good(state: TrainState, good: LastGood, history: History, display: Display) -> None:
    """Try what the last update left; if it is of no use, take it back."""
    state.sound = good.proves()
    if not state.sound:
        state.sound = good.restore()
        if state.clock.step not in history.skipped:
            history.skipped.append(state.clock.step)
        if state.sound:
            display.say("the last update left weights without a finite loss; it was taken back")


def _gather(batches: Iterator[Batch], state: TrainState) -> list[Batch]:
    """The micro-batches of the next step, on the model's device."""
    try:
        return [next(batches).to(state.device) for _ in range(state.config.accumulate)]
    except StopIteration:
        raise TrainingError(
            "batches", f"ended after step {state.clock.step}", "give an iterator without end, for example data.Batches"
        ) from None


def _count(step: Step, state: TrainState, batches: Iterator[Batch], history: History) -> None:
    """Count a step that was taken. All at once: an interrupt during the step has moved nothing."""
    state.clock.tick()
    state.samples += step.samples
    # The loader passes over a batch of bad rows alone, so that its own number may be further.
    state.batch = batches.number if isinstance(batches, Numbered) else state.batch + state.config.accumulate
    history.steps, history.seconds, history.samples = state.clock.step, state.clock.seconds, state.samples
    if not step.finite:
        history.skipped.append(state.clock.step)


def _calls_stop(callback: Callable[[Any], object] | None, value: object) -> bool:
    return callback is not None and callback(value) == "stop"


class _Window:
    """Sums over the steps since the last line of the log."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._start = clock, clock.seconds
        self._loss, self._labels, self._samples = 0.0, 0, 0

    def add(self, step: Step) -> None:
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
        """The line of the log that these steps make."""
        return {
            "step": self._clock.step,
            "loss": self.loss,
            "lr": lr,
            "samples_per_second": round(self.samples_per_second, 1),
            "seconds": round(self._clock.seconds, 3),
        }


def _check_patience(skipped: list[int], config: TrainConfig) -> None:
    if len(skipped) < PATIENCE or skipped[-1] - skipped[-PATIENCE] >= PATIENCE:
        return
    raise TrainingError(
        "training",
        f"steps {skipped[-PATIENCE]} to {skipped[-1]} had no finite loss and gradient, {PATIENCE} in a row",
        f"lower train.lr (it is {config.lr:g}), set train.clip (it is {config.clip:g}), or use train.precision=float32",
    )


def _short(score: Any) -> str:
    return f"{score:.3f}" if isinstance(score, float) else str(score)
