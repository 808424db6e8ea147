"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Union, runtime_checkable

from ojito.config import TrainConfig
from ojito.errors import OjitoError
from ojito.records import Batch
from ojito.trainer.blocks import block_calls, padded
from ojito.trainer.checkpoints import Saver
from ojito.trainer.history import History
from ojito.trainer.interrupts import Interrupted, Interrupts, interrupts
from ojito.trainer.last_good import LastGood
from ojito.trainer.logs import Metrics
from ojito.trainer.norms import figures
from ojito.trainer.optim import set_trainable
from ojito.trainer.parallel import whole
from ojito.trainer.products import fast_products
from ojito.trainer.progress import Display
from ojito.trainer.random_state import set_random_state
from ojito.trainer.state import TrainingError, TrainState
from ojito.trainer.step import gradients, update
from ojito.trainer.usage import Usage
from ojito.trainer.watch import Watch, due, undisturbed

PATIENCE = 10
"""Steps in a row without a finite loss and gradient that a run survives."""

Stop = Union[Literal["stop"], None]  # what a callback returns to end the run, or to let it go on
OnStep = Callable[[TrainState], Union[Stop, object]]
OnLine = Callable[[Mapping[str, Any]], Union[Stop, object]]


@runtime_checkable
class Positioned(Protocol):
    """An iterator that knows its position, as `data.Batches` does."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the batches that it has given."""
        ...


def fit(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    out: Path | str | None = None,
    evaluate: Callable[[], Mapping[str, Any]] | None = None,
    watches: Sequence[Watch] = (),
    saver: Saver | None = None,
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
        watches: Look at the model now and then, outside the time that counts; what they see goes to metrics.jsonl.
        saver: Saves the state now and then, and when the run ends.
        on_step: Called after every step, with the state.
        on_log: Called with each line of the log.
        on_eval: Called with each line of scores.
        quiet: Shows no progress.

    Raises:
        TrainingError: Too many steps in a row without a finite loss and gradient, weights that give none, or the
            batches ended.
        UnsavedError: The state of a run that was interrupted could not be saved.
    """
    first, failed = state.ranks.first, True
    logs = Metrics(out if first else None, after=state.clock.step or None, also=state.config.logs)
    calls = block_calls(state.model, state.config, state.device)
    products = fast_products(state)
    with interrupts() as signals, Display(quiet or not first) as display, logs as metrics, calls, products:
        loop = _Loop(state, batches, evaluate, watches, saver, (on_step, on_log, on_eval), signals, display, metrics)
        try:
            loop.run()
            failed = False
        except KeyboardInterrupt as error:
            failed = False
            state.history.interrupt(error)
            display.say(f"interrupted after step {state.clock.step}")
        finally:
            signals.hold()
            loop.leave(failed)
        loop.conclude()
    return state.history


class _Loop:
    """The loop of one run. After a step come its line of the log, looks, scores and checkpoint, if they are due.

    What is due is told from the record alone, so that a run that ended between a step and its evaluation goes on with
    the evaluation. Several ranks agree on it, because each has a clock and hears signals of its own.
    """

    def __init__(
        self,
        state: TrainState,
        batches: Iterable[Batch],
        evaluate: Callable[[], Mapping[str, Any]] | None,
        watches: Sequence[Watch],
        saver: Saver | None,
        callbacks: tuple[OnStep | None, OnLine | None, OnLine | None],
        signals: Interrupts,
        display: Display,
        metrics: Metrics,
    ) -> None:
        set_trainable(state.model, state.config)
        self.state, self.config, self.clock, self.history = state, state.recipe, state.clock, state.history
        self.ranks = state.ranks
        self.evaluate, self.watches, self.saver = evaluate, watches, saver
        self.on_step, self.on_log, self.on_eval = callbacks
        self.signals, self.display, self.metrics = signals, display, metrics
        self.batches = iter(batches)
        self.good, self.usage = LastGood(state.model, state.loss), Usage(state)

    def run(self) -> None:
        """Go on until the run is over."""
        if not self.ranks.alone:
            self.signals.hold()  # one rank alone must not leave the others in the middle of a step
        self.history.go_on()
        self.clock.start()
        while True:
            agreed = self._agree()
            if self.history.log_is_due(self.config.log_every, agreed.over):
                self._log()
            elif watch := due(self.watches, self.history, last=agreed.over):
                self._look(watch)
            elif self.evaluate and self.history.evaluation_is_due(self.config.eval_every):
                self._evaluate(self.evaluate)
            elif self.saver and agreed.save and not agreed.over:
                self._save(self.saver)
            elif agreed.over:
                return
            elif self.state.ended:
                self._enter()
            else:
                self._step(self.state.rate(agreed.progress))

    def _agree(self) -> _Agreed:
        """What comes next, for all ranks alike.

        Raises:
            Interrupted: One of several ranks has heard a signal.
        """
        over = self.clock.done or self.history.stopped
        save = self.saver is not None and self.saver.due(self.clock.step)
        middle = self.clock.progress(ahead=0.5)
        self.ranks.step = self.clock.step
        ends, saves, progress, signal = self.ranks.greatest(over, save, middle, self.signals.signal)
        if signal and not self.ranks.alone:
            self.signals.heard()
            raise Interrupted(int(signal))
        return _Agreed(bool(ends), bool(saves), progress)

    def _enter(self) -> None:
        """Begin the next stage."""
        state = self.state
        state.enter(self.clock.step)
        self.good, self.usage = LastGood(state.model, state.loss), Usage(state)
        frozen = f", {', '.join(state.config.freeze)} frozen" if state.config.freeze else ""
        self.display.say(f"step {self.clock.step}: the next stage begins, lr {state.config.lr:g}{frozen}")

    def _step(self, rate: float) -> None:
        """Learn from the next batches.

        Args:
            rate: Factor of the peak learning rates.
        """
        state = self.state
        batches = self._gather()
        step = self.usage.of(gradients(state, batches), batches)
        with self.signals.held():  # half an update is neither this step nor the last
            if step.finite:
                self.good.keep(batches[-1])
            update(state, step, rate)
            state.count(step, self._position(), state.config.lr * rate)
            window, clock = self.history.window, self.clock
            speed = window.samples_per_second(clock)
            # At once, so that no signal comes in between; several ranks have to agree that the run is over.
            due = self.ranks.alone and self.history.log_is_due(self.config.log_every, self.clock.done)
            line = self._write_line() if due else None
        self.display.show(clock.progress(), clock.step, window.mean_loss, speed, clock.seconds)
        if not step.finite:
            self.display.say(f"step {self.clock.step}: loss or gradient is not finite; skipped")
            _check_patience(self.history.skipped, state.config)
        self._call(self.on_step, state)
        if line is not None:
            self._call(self.on_log, line)

    def _gather(self) -> list[Batch]:
        """The micro-batches of the next step, on the model's device."""
        try:
            batches = [padded(next(self.batches), self.config) for _ in range(self.config.accumulate)]
        except StopIteration:
            remedy = "give an iterator without end, for example data.Batches"
            raise TrainingError("batches", f"ended after step {self.clock.step}", remedy) from None
        return [batch.to(self.state.device) for batch in batches]

    def _position(self) -> dict[str, Any]:
        """The position of the loader; of an iterator that knows none, the number of batches."""
        if isinstance(self.batches, Positioned):
            return self.batches.state_dict()
        return {"number": self.state.position.get("number", 0) + self.config.accumulate}

    def _log(self) -> None:
        with self.signals.held():
            line = self._write_line()
        self._call(self.on_log, line)

    def _write_line(self) -> dict[str, Any]:
        """Write the line of the log that the last steps make, and return it."""
        used = self.usage.figures(self.history.window, self.clock)
        line = self.history.log_line(self.clock, used | figures(self.state, self.good))
        self.metrics.write(line)
        return line

    def _evaluate(self, evaluate: Callable[[], Mapping[str, Any]]) -> None:
        with self.clock.paused(), self.display.paused(), whole(self.state.loss):
            scores = self.ranks.gather(dict(evaluate()))[0]
        set_trainable(self.state.model, self.state.config)  # an evaluation may have left it in evaluation mode
        set_random_state(self.state.random, self.state.device)  # and may have drawn
        with self.signals.held():
            line = {"step": self.clock.step, "seconds": round(self.clock.seconds, 3), **scores}
            self.history.evaluations.append(line)
            self.metrics.write({"evaluation": True, **line})
        self.display.say(f"step {self.clock.step}: " + "  ".join(f"{k} {_short(v)}" for k, v in scores.items()))
        self._call(self.on_eval, line)
        if self.config.score:
            self._compare(line)

    def _compare(self, line: Mapping[str, Any]) -> None:
        """Keep the model if it has the best score so far, and end the run if there was none for too long."""
        best = self.history.best(self.config.score)
        if best == line["step"] and self.saver:
            self._save(self.saver, best=True)
        waited = sum(each["step"] > best for each in self.history.evaluations)
        if 0 < self.config.patience <= waited:
            self.display.say(f"{waited} evaluations without a better {self.config.score} than that of step {best}")
            self.history.stopped = True

    def _look(self, watch: Watch) -> None:
        """Let a watch look; where it cannot, because the weights give nothing finite, the next step finds that out."""
        seen: Mapping[str, Any] = {}
        with self.clock.paused(), self.display.paused(), whole(self.state.loss), undisturbed(self.state.model):
            try:
                seen = watch(self.state) or {}
            except OjitoError as error:
                self.display.say(f"step {self.clock.step}: {watch.name}: {error}")
        seen = self.ranks.gather(seen)[0]
        with self.signals.held():
            line = {"step": self.clock.step, "seconds": round(self.clock.seconds, 3), **seen}
            self.history.seen[watch.name] = line
            if seen:
                self.metrics.write(line)

    def _save(self, saver: Saver, best: bool = False) -> None:
        """Save the state, if the weights are known to be good: a run cannot go on with others."""
        with self.signals.held(), self.clock.paused():
            good = self._proves()
            set_trainable(self.state.model, self.state.config)
            if good:
                saver.save(self.clock.step, self.state.state_dict(), best)
            else:
                saver.saved = self.clock.step

    def _proves(self) -> bool:
        """Whether the weights in use are good on all ranks."""
        return not self.ranks.greatest(not self.good.proves())[0]

    def _call(self, callback: Callable[[Any], object] | None, value: object) -> None:
        self.history.stopped |= callback is not None and callback(value) == "stop"

    def leave(self, failed: bool) -> None:
        """Leave a model that answers, and weights that are known to be good.

        Args:
            failed: Whether the run ends with an error. The other ranks may be gone then, and nobody can be asked.
        """
        state = self.state
        self.clock.stop()
        state.model.eval()
        state.model.zero_grad()
        if failed and not self.ranks.alone:
            state.sound = False
        else:
            state.sound = self._proves()
            if not state.sound:
                self._take_back()
        if self.saver:
            self.saver.finish()

    def _take_back(self) -> None:
        """Go back to the weights before the last update, if there are any."""
        self.state.sound = not self.ranks.greatest(not self.good.restore())[0]
        if self.clock.step not in self.history.skipped:
            self.history.skipped.append(self.clock.step)
        if self.state.sound:
            self.display.say("the last update left weights without a finite loss; it was taken back")

    def conclude(self) -> None:
        """Save the state of a run that ended as it should, or was interrupted.

        Raises:
            UnsavedError: It cannot be saved, and the run is to be gone on with.
            TrainingError: The weights are of no use.
        """
        step = self.clock.step
        if not self.state.sound:
            remedy = f"lower train.lr (it is {self.state.config.lr:g})"
            raise TrainingError("training", f"the weights after step {step} give no finite loss", remedy)
        if self.saver and step and step != self.saver.saved and self.saver.wanted(self.history.interrupted):
            self.saver.save(step, self.state.state_dict(), wait=self.history.interrupted)
            self.saver.finish()


@dataclass(frozen=True)
class _Agreed:
    """What comes next.

    Attributes:
        over: Whether the run is.
        save: Whether its state is to be saved.
        progress: Share of the run that is done in the middle of the next step.
    """

    over: bool
    save: bool
    progress: float


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
