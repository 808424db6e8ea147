"""`train`: one run, from a recipe to a saved model and its scores."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ojito.allocator import keeping_freed_memory
from ojito.checkpoint.description import Described
from ojito.checkpoint.learned_file import read_learned
from ojito.checkpoint.saving import check_room, holds_model
from ojito.config import Config
from ojito.data import Batches, hold_out
from ojito.device import pick_device
from ojito.learned import Learned
from ojito.loading import load
from ojito.parts import with_pretrained
from ojito.pipeline import Pipeline
from ojito.settings import write
from ojito.threads import keeping_threads
from ojito.trainer import History, TrainState, fit
from ojito.trainer.checkpoints import Checkpoints, Saver
from ojito.trainer.interrupts import interrupts
from ojito.trainer.loop import OnLine, OnStep
from ojito.trainer.progress import Display, progress_bar
from ojito.training.begin import Data, begin, complete_recipe, encode_frozen, open_rows
from ojito.training.endings import check_out, save, save_after_failure
from ojito.training.resume import (
    CHECKPOINTS,
    Resume,
    check_resume,
    find_unfinished,
    fingerprint,
    forget_complete,
    make_way,
    read_complete,
    write_complete,
)
from ojito.training.said import announcement, tell_missing, watching_threads
from ojito.training.scoring import Scoring, last_scores, learned_of


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
    folder = None if out is None else Path(out)
    display = Display(quiet)
    check_resume(resume, folder)
    if folder is not None:
        check_out(folder)
    config, base = complete_recipe(start, weights, settings, data, quiet)
    asked, run = config, None if folder is None else find_unfinished(folder, resume, force, display.say)
    if run is not None:
        for line in run.changed(asked):
            display.say(line)
    known = None if folder is None or resume == "no" else read_complete(folder, asked)
    if folder is not None and known and (run is None or run.step >= known["history"]["steps"]):
        return _complete(folder, known, device)
    torch_device = start.device if isinstance(start, Pipeline) and device == "auto" else pick_device(device)
    new = base is None and not isinstance(start, Pipeline)
    if new:
        with progress_bar("fetching parts", quiet) as report:
            config = with_pretrained(config, report)
    before = None if new else read_learned(base.path) if base else start.learned or Learned(before=True)  # type: ignore[union-attr]
    held = hold_out(open_rows(config, data), config.data, config.train.seed, before)
    rows = fingerprint(held.source, config)
    if run is not None:
        run.check_rows(rows, held.source.name)
    pipe = begin(start, config, base, held.source, torch_device, quiet)
    # All images are read for it: not before the first step, where there may be many.
    pipe.learned = functools.partial(learned_of, held.source, config, held.rows, pipe.learned or before)
    state = TrainState(pipe.model, config.train)
    if folder is not None:
        check_room(folder, pipe.saved_bytes())

    for line in announcement(pipe, config, held.source):
        display.say(line)
    if held.said:
        display.say(held.said)
    tell_missing(pipe.processor.tokenizer, config, held.source)
    if pipe.device.type == "cpu":
        on_step = watching_threads(config, on_step, display, run.threads if run else 0)
    features = encode_frozen(pipe, config, held.source, folder, display)
    batches = Batches(held.source, pipe.processor, config.data, config.train, features=features)
    scoring = Scoring(pipe, config, held.source, display)
    asks = evaluate and scoring.possible
    if run is not None:
        display.say(f"going on after step {run.step}, with {run.checkpoint}")
        state.load_state_dict(run.values)
        batches.load_state_dict(state.position)
    saver = None
    if folder is not None:
        if run is None:
            make_way(folder, display.say)
        about = {"recipe": write(asked), "rows": rows, "threads": torch.get_num_threads()}
        checkpoints = Checkpoints(folder / CHECKPOINTS, config.train.keep)
        saver = Saver(checkpoints, config.train, about, resume != "no", run.step if run else -1, display.say)
    try:
        history = fit(
            state,
            batches,
            out=folder if metrics is None else metrics,
            evaluate=scoring.score if asks else None,
            saver=saver,
            on_step=on_step,
            on_log=on_log,
            on_eval=on_eval,
            quiet=quiet,
        )
    except BaseException:
        if folder is not None and state.clock.step:
            save_after_failure(pipe, state, folder, display)
        elif folder is not None and holds_model(folder):
            display.say(f"ojito: the run ended before its first step; the weights in {folder} are those of before")
        raise
    if folder is not None and history.steps:
        save(pipe, folder)
        forget_complete(folder)
    scores = last_scores(history)
    try:
        with interrupts() as signals, signals.raising():
            if scores is None and asks and not history.interrupted:
                scores = scoring.score()
    except KeyboardInterrupt as error:
        history.interrupt(error)
        if saver and saver.saved != history.steps > 0:
            saver.save(history.steps, state.state_dict(), wait=True)
    result = TrainResult(
        pipe,
        history,
        scores if scores and scores["n"] else None,
        problems=tuple(dict.fromkeys([*batches.problems, *scoring.problems])),
        out=folder if history.steps else None,
        split=scoring.split if asks else "",
        held_out=len(held.rows),
        learned=scoring.learned_among_them() if scores and scores["n"] else 0,
        resumed=run.step if run else 0,
    )
    if folder is not None and not history.interrupted:
        write_complete(folder, asked, _told(result))
    return result


def _told(result: TrainResult) -> dict[str, Any]:
    """What of a result is told again when the complete run is asked for once more."""
    history = result.history
    names = ("scores", "problems", "split", "held_out", "learned")
    record = {
        "steps": history.steps,
        "seconds": history.seconds,
        "samples": history.samples,
        "skipped": history.skipped,
    }
    return {"history": {**record, "log": history.log[-1:]}, **{name: getattr(result, name) for name in names}}


def _complete(folder: Path, known: dict[str, Any], device: torch.device | str) -> TrainResult:
    """The result of a run that is complete already."""
    names = ("scores", "split", "held_out", "learned")
    return TrainResult(
        load(folder, device=device),
        History(**known["history"]),
        problems=tuple(known["problems"]),
        out=folder,
        resumed=known["history"]["steps"],
        **{name: known[name] for name in names},
    )
