"""`train`: one run, from a recipe to a saved model and its scores."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ojito.allocator import keeping_freed_memory
from ojito.checkpoint.description import Described
from ojito.checkpoint.learned_file import read_learned
from ojito.config import Config
from ojito.data import Batches, HoldOut, hold_out
from ojito.device import pick_device
from ojito.learned import Learned
from ojito.loading import load
from ojito.parts import with_pretrained
from ojito.pipeline import Pipeline
from ojito.threads import keeping_threads
from ojito.trainer import History, TrainState, fit
from ojito.trainer.interrupts import interrupts
from ojito.trainer.logs import check_logs
from ojito.trainer.loop import OnLine, OnStep
from ojito.trainer.parallel import whole_model
from ojito.trainer.progress import Display, progress_bar
from ojito.trainer.ranks import Ranks, join
from ojito.training.begin import Data, begin, complete_recipe, encode_frozen, open_rows
from ojito.training.folder import RunFolder, check_place
from ojito.training.looks import watches_of
from ojito.training.report import conclude, run_report
from ojito.training.resume import Resume, check_resume, fingerprint
from ojito.training.said import announcement, said_of_products, tell_distortion, tell_missing, watching_threads
from ojito.training.scoring import Scoring, learned_of, scores_at, write_scores


@dataclass(frozen=True)
class TrainResult:
    """Result of a training run.

    Attributes:
        pipeline: The trained model, ready to answer.
        history: Steps, seconds, losses and evaluations of the run.
        scores: Scores on `data.eval_split` after the last step; None where nothing was evaluated.
        problems: Rows that were left out, each with where it stands, what is wrong and what to do.
        out: The folder where the model was saved; None where it was not.
        split: The split that it was scored on; empty where the data have none.
        held_out: Rows that were held out of the training data for that, see `data.hold_out`.
        learned: Rows that it was scored on although their images were among those that it was trained on.
        resumed: Step of the checkpoint that it went on with; 0 of a run that began anew. Where it is the last step, the
            run was complete already.
        report: What report.json says: what the run took and came to, and how far it moved each part.
    """

    pipeline: Pipeline
    history: History
    scores: dict[str, Any] | None
    problems: tuple[str, ...]
    out: Path | None
    split: str = ""
    held_out: int = 0
    learned: int = 0
    resumed: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)


@interrupts()
@keeping_threads()
@keeping_freed_memory()
def train(
    start: str | Path | Config | Pipeline = "tiny",
    data: Data | None = None,
    *,
    out: Path | str | None = None,
    settings: Iterable[str] = (),
    weights: Path | str | Described | None = None,
    device: torch.device | str = "auto",
    force: bool = False,
    resume: Resume = "no",
    evaluate: bool = True,
    on_step: OnStep | None = None,
    on_log: OnLine | None = None,
    on_eval: OnLine | None = None,
    metrics: Path | str | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train a model on your own data: a new one, or one that has learned before.

        result = ojito.train("tiny", "captions.jsonl", out="runs/mine", settings=["train.steps=500"])
        print(result.scores, result.pipeline.caption("photo.jpg"))

    Ctrl-C, SIGTERM and SIGHUP end the run as if it were over: what was learned is saved, which a second signal does not
    undo. So does a callback that returns "stop". If the run fails, the weights of the last good step are saved in
    `out`; where a model is there already, in a folder beside it, "mine-failed".

    With `out`, the state of the run is saved in its `checkpoints` every `train.save_every` steps or
    `train.save_minutes`, and when it is interrupted. A run that is gone on with ends with the same weights, to the bit,
    as one that was never interrupted: on the same machine, with the same versions and threads.

    Args:
        start: A preset's name or a recipe (`Config`) for a new model with random weights. Or a model to go on with: a
            folder, "owner/name" on the Hugging Face Hub, or a `Pipeline`, which is trained in place.
        data: A folder, a `.jsonl` or `.csv` file, "scenes", "photos16"; what `open_data` returned; or a list of
            samples. None takes the recipe's `data.path`.
        out: The folder for the model, its recipe and metrics.jsonl; None saves nothing.
        settings: Over the recipe, each "train.lr=3e-4".
        weights: With a recipe as `start`, a folder whose weights and tokenizer the model begins with, or what
            `describe` returned for it.
        device: "auto" is the GPU where there is one; a `Pipeline` stays where it is.
        force: Whether a model in `out` is replaced, or an unfinished run there.
        resume: "auto" goes on with the unfinished run in `out`, from its newest checkpoint, or begins one: the same
            call is made again until the run is complete, and then does nothing. "must" begins none.
        evaluate: Whether to score the model on `data.eval_split`, every `train.eval_every` steps and at the end.
        on_step: Called after every step with the `TrainState`. May return "stop", as the next two.
        on_log: Called with each line of the log: step, loss, lr, samples_per_second, seconds.
        on_eval: Called with the scores of each evaluation that `train.eval_every` asks for.
        metrics: The folder for metrics.jsonl, if not `out`.
        quiet: Shows no progress.

    Raises:
        OjitoError: An argument that cannot be used, too little memory, no such device.
        ConfigError: A setting that cannot be used.
        CheckpointError: The model to go on with cannot be read, `out` holds one, or the run there cannot be gone on
            with.
        UnsavedError: What was learned could not be written.
        DataError: The data cannot be read, or hold too many bad rows.
        TrainingError: Too many steps in a row without a finite loss and gradient.
    """
    check_resume(resume, out)
    if out is not None:
        check_place(Path(out))
    asked, base = complete_recipe(start, weights, settings, data, quiet)
    check_logs(asked.train.logs, out if metrics is None else metrics)
    with join(device, asked.train.rank_timeout) as ranks:
        quiet = quiet or not ranks.first
        display = Display(quiet)
        folder = None if out is None else RunFolder(Path(out), asked, resume, ranks, display)
        if folder is not None:
            folder.look(force)
            if folder.known is not None:
                return _told_before(folder.path, folder.known, device)
        run = _prepare(start, data, asked, base, device, folder, ranks, display)
        callbacks = {"on_step": on_step, "on_log": on_log, "on_eval": on_eval}
        return run.go(evaluate, callbacks, out if metrics is None else metrics, quiet)


@dataclass
class _Run:
    """A run that can begin.

    Attributes:
        pipe: The model.
        config: The recipe.
        held: The rows.
        rows: By which they are known again.
        folder: Where it is saved.
        ranks: The processes that train together.
        display: Says what it does.
    """

    pipe: Pipeline
    config: Config
    held: HoldOut
    rows: str
    folder: RunFolder | None
    ranks: Ranks
    display: Display

    def go(self, evaluate: bool, callbacks: Mapping[str, Any], metrics: Path | str | None, quiet: bool) -> TrainResult:
        """Train, save and score.

        Args:
            evaluate: Whether to score.
            callbacks: Of `fit`.
            metrics: The folder for metrics.jsonl.
            quiet: Shows no progress.
        """
        config, pipe, folder, source = self.config, self.pipe, self.folder, self.held.source
        unfinished = folder.unfinished if folder else None
        if pipe.device.type == "cpu":
            threads = unfinished.threads if unfinished else 0
            callbacks = {**callbacks, "on_step": watching_threads(config, callbacks["on_step"], self.display, threads)}
        features = encode_frozen(pipe, config, source, folder.path if folder else None, self.display, self.ranks)
        rank, ranks = self.ranks.rank, self.ranks.count
        batches = Batches(source, pipe.processor, config.data, config.train, features, rank, ranks)
        scoring = Scoring(pipe, config, source, self.display)
        asks = evaluate and scoring.possible
        looks = watches_of(pipe, config, source, scoring, features is not None, self.display) if evaluate else []
        state = TrainState(pipe.model, config.train, ranks=self.ranks)
        if not self.display.quiet:
            self.display.say(said_of_products(state))
        if unfinished is not None:
            self.display.say(f"going on after step {unfinished.step}, with {unfinished.checkpoint}")
            state.load_state_dict(unfinished.values)
            batches.load_state_dict(state.position)
        saver = folder.saver(self.rows) if folder else None
        score = scoring.score if asks else None
        try:
            fitting = {"evaluate": score, "watches": looks, "saver": saver, "quiet": quiet, **callbacks}
            history = fit(state, batches, out=metrics, **fitting)
        except BaseException as error:
            if folder is not None:
                folder.save_after_failure(pipe, state)
            if folder is not None and self.ranks.alone:
                with suppress(RuntimeError):  # of a device that has failed; what the run failed with is told
                    report = run_report(config, state, bad_rows=batches.problems, error=error)
                    conclude(report, folder.path, self.display)
            raise
        best = folder.take_best(state) if folder is not None and config.train.score else history.steps
        pipe.model = whole_model(state.loss)
        if folder is not None and history.steps:
            folder.save(pipe)
        scores = scores_at(history, best)
        try:
            with interrupts() as signals, signals.raising():
                if scores is None and asks and not history.interrupted:
                    scores = scoring.score()
                    write_scores(scores, history, metrics if self.ranks.first else None)
        except KeyboardInterrupt as error:
            history.interrupt(error)
            # Of a run whose best model was an earlier one, the state was saved before that took its place.
            if saver and saver.saved != history.steps == best > 0:
                saver.save(history.steps, state.state_dict(), wait=True)
        scores = scores if scores and scores["n"] else None
        problems = tuple(dict.fromkeys([*batches.problems, *scoring.problems]))
        report = run_report(config, state, scores=scores, bad_rows=problems)
        out = folder.path if folder and history.steps else None
        if self.ranks.first:
            conclude(report, out, self.display)
        result = TrainResult(
            pipe,
            history,
            scores,
            problems=problems,
            out=out,
            split=scoring.split if asks else "",
            held_out=len(self.held.rows),
            learned=scoring.learned_among_them() if scores else 0,
            resumed=folder.step if folder else 0,
            report=report,
        )
        if folder is not None and not history.interrupted:
            folder.complete(_told(result))
        return result


def _prepare(
    start: str | Path | Config | Pipeline,
    data: Data | None,
    asked: Config,
    base: Described | None,
    device: torch.device | str,
    folder: RunFolder | None,
    ranks: Ranks,
    display: Display,
) -> _Run:
    """Read the data and make the model, and say what begins. Arguments and errors as for `train`."""
    torch_device = start.device if isinstance(start, Pipeline) and device == "auto" else pick_device(device)
    new, config = base is None and not isinstance(start, Pipeline), asked
    if new:
        with progress_bar("fetching parts", display.quiet) as report:
            config = with_pretrained(config, report)
    before = None if new else read_learned(base.path) if base else start.learned or Learned(before=True)  # type: ignore[union-attr]
    held = hold_out(open_rows(config, data, display.quiet), config.data, config.train.seed, before)
    rows = fingerprint(held.source, config)
    if folder is not None and folder.unfinished is not None:
        folder.unfinished.check_rows(rows, held.source.name)
    pipe = begin(start, config, base, held.source, torch_device, display.quiet)
    # All images are read for it: not before the first step, where there may be many.
    pipe.learned = functools.partial(learned_of, held.source, config, held.rows, pipe.learned or before)
    if folder is not None:
        folder.check_model(pipe)
    for line in announcement(pipe, config, held.source):
        display.say(line)
    if held.said:
        display.say(held.said)
    tell_missing(pipe.processor.tokenizer, config, held.source)
    if new:
        tell_distortion(config, held.source)
    return _Run(pipe, config, held, rows, folder, ranks, display)


def _told(result: TrainResult) -> dict[str, Any]:
    """What of a result is told again when the complete run is asked for once more."""
    history = result.history
    names = ("scores", "problems", "split", "held_out", "learned", "report")
    record = {
        "steps": history.steps,
        "seconds": history.seconds,
        "samples": history.samples,
        "skipped": history.skipped,
    }
    return {"history": {**record, "log": history.log[-1:]}, **{name: getattr(result, name) for name in names}}


def _told_before(folder: Path, known: dict[str, Any], device: torch.device | str) -> TrainResult:
    """The result of a run that is complete already."""
    names = ("scores", "split", "held_out", "learned", "report")
    return TrainResult(
        load(folder, device=device),
        History(**known["history"]),
        problems=tuple(known["problems"]),
        out=folder,
        resumed=known["history"]["steps"],
        **{name: known[name] for name in names},
    )
