"""`train`: from data to a trained model in one call; `prepare` makes the model and processor of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import torch

from ojito.checkpoint.description import Described
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.saving import holds_model
from ojito.config import Config
from ojito.data import Batches, Rows, Source, Stream, open_data, training_texts
from ojito.device import pick_device
from ojito.errors import OjitoError
from ojito.evaluation import evaluate as evaluate_pipeline
from ojito.loading import FINE_TUNING, check_settings, find_folder, find_preset, load_for, recipe_of
from ojito.memory import check_training_memory
from ojito.model import VLM
from ojito.model.meta import on_meta
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from ojito.settings import ConfigError, override, read, write
from ojito.trainer import History, TrainState, fit
from ojito.trainer.loop import OnLine, OnStep
from ojito.trainer.progress import Display, progress_bar

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
    """

    pipeline: Pipeline
    history: History
    scores: dict[str, Any] | None
    problems: tuple[str, ...]
    out: Path | None


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

    Ctrl-C ends the run as if it were over, and so does a callback that returns "stop". If the run fails, the weights of
    the last good step are saved in `out`, unless a model is there already.

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
    source = _open(config, data)
    if isinstance(start, Pipeline):
        pipe = _continue(start, config, torch_device)
    elif base is not None:
        with progress_bar(f"loading {base.path}", quiet) as report:
            pipe = load_for(config, base, torch_device, report)
    else:
        pipe = Pipeline(*prepare(config, source, torch_device), config)

    batches = Batches(source, pipe.processor, config.data, config.train)
    state = TrainState(pipe.model, config.train)
    display = Display(quiet)
    display.say(_announcement(pipe, config, source))
    if getattr(source, "turns", ""):
        display.say(f"data: {source.form} ({source.total:,} rows): {source.turns}")  # type: ignore[union-attr]
    has_split = evaluate and config.data.eval_split in getattr(source, "splits", ())

    def score() -> dict[str, Any]:
        rows = source.samples(config.data.eval_split, config.train.eval_samples)  # type: ignore[union-attr]
        with progress_bar("evaluating", quiet) as report:
            return evaluate_pipeline(pipe, rows, controls=(), progress=report).scores.to_dict()

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
    except Exception:
        # Whatever it was, what was learned until then is worth keeping, but not worth a model that was there before.
        if folder is not None and state.clock.step and not holds_model(folder):
            pipe.save(folder)
            display.say(f"ojito: the last good weights are in {folder}")
        raise
    if folder is not None and history.steps:
        pipe.save(folder)
    scores = _last_scores(history)
    if scores is None and has_split and not history.interrupted:
        scores = score()
    return TrainResult(pipe, history, scores, tuple(batches.problems), folder if history.steps else None)


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
        return read(Config, override(values, settings))

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


def _continue(pipe: Pipeline, config: Config, device: torch.device) -> Pipeline:
    """The pipeline with the recipe of this run; its model is trained in place."""
    dtypes = {str(parameter.dtype).removeprefix("torch.") for parameter in pipe.model.parameters()}
    if dtypes != {"float32"}:
        raise OjitoError(
            "start", f"{pipe.name} has weights in {', '.join(sorted(dtypes))}", 'load it with dtype="float32" to train'
        )
    check_training_memory(config.name, pipe.model, config.train, device)
    torch.manual_seed(config.train.seed)
    return Pipeline(pipe.model.to(device), pipe.processor, config)


def _check_out(out: Path, force: bool) -> None:
    """Check that a model may be written there, before training takes its time."""
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        raise CheckpointError(str(out), "is a file" if there == out else f"is in {there}, a file", "give a folder")
    if holds_model(out) and not force:
        raise CheckpointError(str(out), "holds a model already", "choose another folder, or replace it with force=True")


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
