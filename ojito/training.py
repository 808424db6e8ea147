"""`train`: from data to a trained model in one call; `prepare` makes the model and processor of a recipe."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import torch

from ojito.checkpoint.description import Described
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.learned_file import read_learned
from ojito.checkpoint.saving import check_room, free_beside, holds_model
from ojito.config import Config, only_length
from ojito.data import Batches, Rows, Source, Stream, find_split, hold_out, open_data, training_texts
from ojito.data.features import Features, distinct_images
from ojito.device import pick_device
from ojito.errors import OjitoError, one_line
from ojito.evaluation import NothingAskedError
from ojito.evaluation import evaluate as evaluate_pipeline
from ojito.learned import Learned
from ojito.loading import FINE_TUNING, check_settings, find_folder, find_preset, load_for, recipe_of
from ojito.memory import check_training_memory
from ojito.model import VLM
from ojito.model.meta import on_meta
from ojito.parts import load_pretrained, with_pretrained
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from ojito.settings import ConfigError, merge, override, read, write
from ojito.threads import Threads, keeping_threads
from ojito.trainer import History, TrainState, fit
from ojito.trainer.features import encode_images
from ojito.trainer.interrupts import interrupts
from ojito.trainer.loop import OnLine, OnStep
from ojito.trainer.progress import Display, progress_bar

_DRAWN = 50  # rows of a source without end, which show its kinds of questions

log = logging.getLogger(__name__)
_LOOKED_THROUGH = 200_000  # texts, for characters that the tokenizer has no entry for

Data = Union[str, Path, Rows, Stream, Sequence[Sample]]


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
    """

    pipeline: Pipeline
    history: History
    scores: dict[str, Any] | None
    problems: tuple[str, ...]
    out: Path | None
    split: str = ""
    held_out: int = 0
    learned: int = 0


@interrupts()
@keeping_threads()
def train(
    start: str | Path | Config | Pipeline = "tiny",
    data: Data | None = None,
    *,
    out: Path | str | None = None,
    settings: Iterable[str] = (),
    weights: Path | str | Described | None = None,
    device: torch.device | str = "auto",
    force: bool = False,
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
        force: Whether a model in `out` is replaced.
        evaluate: Whether to score the model on `data.eval_split`, every `train.eval_every` steps and at the end.
        on_step: Called after every step with the `TrainState`. May return "stop", as the next two.
        on_log: Called with each line of the log: step, loss, lr, samples_per_second, seconds.
        on_eval: Called with the scores of each evaluation that `train.eval_every` asks for.
        metrics: The folder for metrics.jsonl, if not `out`.
        quiet: Shows no progress.

    Raises:
        OjitoError: An argument that cannot be used, too little memory, no such device.
        ConfigError: A setting that cannot be used.
        CheckpointError: The model to go on with cannot be read, or `out` holds one.
        DataError: The data cannot be read, or hold too many bad rows.
        TrainingError: Too many steps in a row without a finite loss and gradient.
    """
    folder = None if out is None else Path(out)
    if folder is not None:
        _check_out(folder, force)
    config, base = _recipe(start, weights, settings, data, quiet)
    torch_device = start.device if isinstance(start, Pipeline) and device == "auto" else pick_device(device)
    if base is None and not isinstance(start, Pipeline):
        with progress_bar("fetching parts", quiet) as report:
            config = with_pretrained(config, report)
    before = start.learned or Learned(before=True) if isinstance(start, Pipeline) else None
    before = before if base is None else read_learned(base.path)
    held = hold_out(_open(config, data), config.data, config.train.seed, before)
    source: Rows | Stream = held.source
    if isinstance(start, Pipeline):
        pipe = _continue(start, config, torch_device)
    elif base is not None:
        with progress_bar(f"loading {base.path}", quiet) as report:
            pipe = load_for(config, base, torch_device, report)
    else:
        pipe = Pipeline(*prepare(config, source, torch_device), config)
    # All images are read for it: not before the first step, where there may be many.
    pipe.learned = functools.partial(_learned, source, config, held.rows, pipe.learned or before)

    _tell_missing(pipe.processor.tokenizer, config, source)
    display = Display(quiet)
    if pipe.device.type == "cpu":
        on_step = _watching_threads(config, on_step, display)
    features = _encode(pipe, config, source, folder, quiet)
    batches = Batches(source, pipe.processor, config.data, config.train, features=features)
    state = TrainState(pipe.model, config.train)
    if folder is not None:
        check_room(folder, sum(tensor.nbytes for tensor in pipe.model.state_dict().values()))
    display.say(_announcement(pipe, config, source))
    if getattr(source, "turns", ""):
        display.say(f"data: {source.form} ({source.total:,} rows): {source.turns}")  # type: ignore[union-attr]
    if held.said:
        display.say(held.said)
    known = getattr(source, "splits", ())
    split = find_split(known, config.data.eval_split)
    has_split = evaluate and split in known
    problems: dict[str, None] = {}  # of the evaluation's rows, each once

    def asked() -> list[Sample]:
        seed = {"seed": config.train.seed} if isinstance(source, Source) else {}
        return source.samples(split, config.train.eval_samples, **seed)  # type: ignore[union-attr]

    def score() -> dict[str, Any]:
        rows = asked()
        values: dict[str, Any] = {"n": 0}
        try:
            with progress_bar("evaluating", quiet) as progress:
                report = evaluate_pipeline(pipe, rows, controls=(), progress=progress)
            found, values = report.problems, report.scores.to_dict()
        except NothingAskedError as error:  # what was learned is not to be lost for want of a score
            found = error.details or (str(error),)
        for problem in found:
            if problem not in problems:
                problems[problem] = None
                display.say(f"not asked in the evaluation: {problem}")
        return values

    try:
        history = fit(
            state,
            batches,
            out=folder if metrics is None else metrics,
            evaluate=score if has_split else None,
            on_step=on_step,
            on_log=on_log,
            on_eval=on_eval,
            quiet=quiet,
        )
    except BaseException:
        if folder is not None and state.clock.step:
            _save_after_failure(pipe, state, folder, display)
        raise
    if folder is not None and history.steps:
        pipe.save(folder)
    scores = _last_scores(history)
    try:
        with interrupts() as signals, signals.raising():
            if scores is None and has_split and not history.interrupted:
                scores = score()
    except KeyboardInterrupt as error:
        history.interrupt(error)
    if scores is not None and not scores["n"]:
        scores = None
    seen = pipe.learned.count(asked()) if scores and pipe.learned and isinstance(source, Source) else 0
    bad = tuple(dict.fromkeys([*batches.problems, *problems]))
    return TrainResult(
        pipe, history, scores, bad, folder if history.steps else None, split if has_split else "", len(held.rows), seen
    )


def prepare(config: Config, source: Rows | Stream, device: torch.device | str = "auto") -> tuple[VLM, Processor]:
    """Make the recipe's model with random weights, and its processor with a tokenizer learned from the data.

    Sets PyTorch's seed, which also decides on dropout later: the same recipe makes the same model.

    Args:
        config: The recipe.
        source: What `open_data(config)` opened; of one without end, the first samples are read.
        device: Where to put the model.

    Raises:
        ConfigError: The tokenizer has more entries than the decoder has embeddings.
        OjitoError: No such device, too little memory.
    """
    torch_device = pick_device(device)
    decoder = config.model.decoder
    tokenizer = Tokenizer.train(config.processor.tokenizer, training_texts(source, config), decoder.vocab_size)
    if tokenizer.size > decoder.vocab_size:
        raise ConfigError(
            "model.decoder.vocab_size",
            f"{decoder.vocab_size} is less than the tokenizer's {tokenizer.size} entries",
            f"use {tokenizer.size} or more",
        )
    check_training_memory(config.name, on_meta(config.model, config.name), config.train, torch_device)
    torch.manual_seed(config.train.seed)
    model = VLM(config.model).to(torch_device)
    load_pretrained(model, config)
    return model, Processor.for_model(config.processor, tokenizer, config.model)


def _recipe(
    start: str | Path | Config | Pipeline,
    weights: Path | str | Described | None,
    settings: Iterable[str],
    data: Data | None,
    quiet: bool,
) -> tuple[Config, Described | None]:
    """The recipe with all settings, and the folder of the weights to begin with, if any, described once."""
    settings = [settings] if isinstance(settings, str) else [*settings]

    def complete(config: Config) -> Config:
        values = write(config)
        if data is not None:
            values["data"]["path"] = str(data) if isinstance(data, (str, Path)) else getattr(data, "name", "samples")
        return read(Config, override(merge(values, only_length(override({}, settings))), settings))

    if weights is not None and not isinstance(start, Config):
        raise OjitoError("weights", "go with a recipe as start", "leave them out, and give the folder itself as start")
    if isinstance(start, Config):
        return complete(start), None if weights is None else describe(weights)
    if isinstance(start, Pipeline):
        known = Config(start.name, start.model.config, start.processor.config, train=FINE_TUNING)
        config = start.config or known
        changed = complete(config)
        for group in ("model", "processor"):
            if getattr(changed, group) != getattr(config, group):
                raise ConfigError(
                    group,
                    "is another than that of the Pipeline to go on with",
                    "save it, and go on with its folder",
                )
        return dataclasses.replace(changed, model=known.model, processor=known.processor), None

    def check(folder: Path) -> None:  # while the weights are still to be fetched
        complete(recipe_of(check_settings(folder)))

    with progress_bar(f"fetching {start}", quiet) as report:
        base = find_folder(start, report, check)
    if base is None:
        return complete(find_preset(str(start))), None
    described = describe(base)
    return complete(recipe_of(described)), described


def _open(config: Config, data: Data | None) -> Rows | Stream:
    if data is None or isinstance(data, (str, Path)):
        return open_data(config)
    if isinstance(data, (Rows, Stream)):
        return data
    rows = [*data] if isinstance(data, Sequence) else []
    if not rows or not all(isinstance(row, Sample) for row in rows):
        raise OjitoError("data", "is no list of samples", "give a path, what open_data returned, or ojito.Samples")
    return Source("samples", rows)


def _encode(pipe: Pipeline, config: Config, source: Rows | Stream, folder: Path | None, quiet: bool) -> Features | None:
    """The images through the vision tower, if it is frozen, so that each of them passes it once and not every epoch."""
    tiled = config.processor.image.fit == "tiles"
    if "vision" not in config.train.freeze or not config.data.views or tiled or isinstance(source, Stream):
        return None
    path = None if folder is None else folder / "features.bin"
    images = distinct_images(source.samples(config.data.split))
    with progress_bar("encoding images", quiet) as report:
        return encode_images(
            pipe.model, pipe.processor, images, config.data, seed=config.train.seed, path=path, progress=report
        )


def _learned(source: Rows | Stream, config: Config, held_out: Sequence[Sample], before: Learned | None) -> Learned:
    """What the model will have learned; of a source without end, a few rows tell the kinds of its questions."""
    if isinstance(source, Stream):
        some = itertools.islice(source.stream(config.data.split, config.train.seed), _DRAWN)
        return Learned.of(some, before=before, keys=False)
    return Learned.of(source.samples(config.data.split), held_out, before)


def _continue(pipe: Pipeline, config: Config, device: torch.device) -> Pipeline:
    """The pipeline with the recipe of this run; its model is trained in place."""
    dtypes = {str(parameter.dtype).removeprefix("torch.") for parameter in pipe.model.parameters()}
    if dtypes != {"float32"}:
        raise OjitoError(
            "start", f"{pipe.name} has weights in {', '.join(sorted(dtypes))}", 'load it with dtype="float32" to train'
        )
    check_training_memory(config.name, pipe.model, config.train, device)
    torch.manual_seed(config.train.seed)
    going_on = Pipeline(pipe.model.to(device), pipe.processor, config)
    going_on.learned = pipe.learned or Learned(before=True)
    return going_on


def _check_out(out: Path, force: bool) -> None:
    """Check that a model may be written there, before training takes its time."""
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        raise CheckpointError(str(out), "is a file" if there == out else f"is in {there}, a file", "give a folder")
    if holds_model(out) and not force:
        raise CheckpointError(str(out), "holds a model already", "choose another folder, or replace it with force=True")
    check_room(out)


def _watching_threads(config: Config, on_step: OnStep | None, display: Display) -> OnStep | None:
    """Choose the number of threads; return `on_step`, which in a run of some minutes looks at it again.

    A run of some steps keeps its number, so that it can be repeated to the bit.
    """
    threads = Threads(config.train.threads)

    def tell() -> None:
        if threads.count < threads.most and not config.train.threads:
            display.say(
                f"computing with {threads.count} of {threads.most} threads, which is faster while other processes "
                f"keep the cores busy (train.threads={threads.most} takes all)"
            )

    def watching(state: TrainState) -> object:
        if threads.again():
            tell()
        return on_step(state) if on_step else None

    tell()
    return watching if config.train.minutes else on_step


def _tell_missing(tokenizer: Tokenizer, config: Config, source: Rows | Stream) -> None:
    """Say which characters of the data the tokenizer has no entry for."""
    missing = tokenizer.missing(itertools.islice(training_texts(source, config, drawn=200), _LOOKED_THROUGH))
    if not missing:
        return
    asked = config.processor.tokenizer
    if asked.kind == "characters" and len(missing) + tokenizer.size > (
        asked.vocab_size or config.model.decoder.vocab_size
    ):
        keys = ["processor.tokenizer.vocab_size"] * bool(asked.vocab_size) + ["model.decoder.vocab_size"]
        remedy = f"a new model has room for them with {' and '.join(keys)} at {tokenizer.size + len(missing)}"
    else:
        remedy = "a new model with processor.tokenizer.kind=bpe has an entry for every byte"
    log.warning(
        "%d different characters, %s in all, have no entry in the tokenizer, and are neither read nor written "
        "(the most frequent: %s); %s",
        len(missing), f"{sum(missing.values()):,}", one_line(" ".join([*missing][:8])), remedy,
    )  # fmt: skip


def _save_after_failure(pipe: Pipeline, state: TrainState, out: Path, display: Display) -> None:
    """Keep what a run learned that failed, but not in place of a model that was there before."""
    if not state.sound:
        display.say("ojito: nothing was saved: the weights give no finite loss, and none from before them are left")
        return
    folder = free_beside(out) if holds_model(out) else out
    try:
        pipe.save(folder)
        display.say(f"ojito: the last good weights are in {folder}")
    except CheckpointError as error:  # the failure of the run is what is told at the end
        display.say(f"ojito: the last good weights are lost: {error}")


def _announcement(pipe: Pipeline, config: Config, source: Rows | Stream) -> str:
    """Return the line that announces the run."""
    rows = "endless" if isinstance(source, Stream) else f"{len(source.samples(config.data.split))} rows"
    train = config.train
    length = [f"{train.steps} steps"] * (train.steps > 0) + [f"{train.minutes:g} minutes"] * (train.minutes > 0)
    parameters = sum(parameter.numel() for parameter in pipe.model.parameters())
    return (
        f"training {config.name} ({parameters:,} parameters) on {source.name} ({rows}), {pipe.device}: "
        + " or ".join(length)
    )


def _last_scores(history: History) -> dict[str, Any] | None:
    """The scores of an evaluation after the very last step, if there was one."""
    last: Mapping[str, Any] = history.evaluations[-1] if history.evaluations else {}
    if last.get("step") != history.steps:
        return None
    return {name: score for name, score in last.items() if name not in ("step", "seconds")}
