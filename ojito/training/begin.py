"""What a run begins with: the recipe, the rows, the model, and its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Union

import torch

from ojito.checkpoint.description import Described
from ojito.checkpoint.folder import describe
from ojito.config import Config, only_length
from ojito.data import Rows, Source, Stream, is_lazy, open_data, training_texts
from ojito.data.features import Features, distinct_images
from ojito.device import pick_device
from ojito.errors import OjitoError
from ojito.learned import Learned
from ojito.loading import FINE_TUNING, check_settings, find_folder, find_preset, load_for, recipe_of
from ojito.memory import check_training_memory
from ojito.model import VLM
from ojito.model.lora import adapt
from ojito.model.meta import on_meta
from ojito.parts import load_pretrained
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from ojito.settings import ConfigError, merge, override, read, write
from ojito.trainer.features import encode_images
from ojito.trainer.progress import Display, progress_bar
from ojito.trainer.ranks import Ranks

Data = Union[str, Path, Rows, Stream, Sequence[Sample]]


def complete_recipe(
    start: str | Path | Config | Pipeline,
    weights: Path | str | Described | None,
    settings: Iterable[str],
    data: Data | None,
    quiet: bool,
) -> tuple[Config, Described | None]:
    """Return the recipe with all settings, and the folder of the weights to begin with, if any, described once.

    Arguments and errors as for `train`.
    """
    settings = [settings] if isinstance(settings, str) else [*settings]

    def complete(config: Config) -> Config:
        values = write(config)
        if data is not None:
            values["data"]["path"] = str(data) if isinstance(data, (str, Path)) else getattr(data, "name", "samples")
            values["data"]["mixture"] = []
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


def open_rows(config: Config, data: Data | None, quiet: bool = False) -> Rows | Stream:
    """Return the rows of the recipe, or those that were given.

    Args:
        config: The recipe.
        data: The rows, or where they are; None for those of the recipe.
        quiet: Shows no progress.

    Raises:
        OjitoError: What was given is no data.
        DataError: They cannot be read.
    """
    if data is None or isinstance(data, (str, Path)):
        with progress_bar(f"indexing {config.data.path}", quiet) as report:
            return open_data(config, report)
    if isinstance(data, (Rows, Stream)):
        return data
    rows = [*data] if isinstance(data, Sequence) else []
    if not rows or not all(isinstance(row, Sample) for row in rows):
        raise OjitoError("data", "is no list of samples", "give a path, what open_data returned, or ojito.Samples")
    return Source("samples", rows)


def begin(
    start: str | Path | Config | Pipeline,
    config: Config,
    base: Described | None,
    source: Rows | Stream,
    device: torch.device,
    quiet: bool,
) -> Pipeline:
    """Return the model of a run before its first step: the one that is gone on with, a folder's, or a new one.

    Args:
        start: As for `train`.
        config: The recipe.
        base: The folder of the weights to begin with.
        source: The rows, which a new model's tokenizer is learned from.
        device: Where to train.
        quiet: Shows no progress.

    Raises:
        OjitoError: As for `train`.
    """
    if isinstance(start, Pipeline):
        pipe = _continue(start, config, device)
    elif base is None:
        pipe = Pipeline(*prepare(config, source, device), config)
    else:
        with progress_bar(f"loading {base.path}", quiet) as report:
            pipe = load_for(config, base, device, report)
    # Adapters are part of what is said and saved.
    adapt(pipe.model, config.train.lora, config.train.adapted, config.train.seed)
    return pipe


def prepare(config: Config, source: Rows | Stream, device: torch.device | str = "auto") -> tuple[VLM, Processor]:
    """Make the recipe's model with random weights, and its processor with a tokenizer learned from the data.

    Sets PyTorch's seed, which also decides on dropout later: the same recipe makes the same model.

    Args:
        config: The recipe.
        source: What `open_data(config)` opened; of one without end, the first samples are read.
        device: Where to put the model.

    Raises:
        ConfigError: The tokenizer has more entries than the decoder has embeddings; a part that begins with random
            weights is to learn by adapters alone.
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
    for part in config.train.adapted:
        if not getattr(config.pretrained, part, ""):
            problem = f"gives adapters to the {part}, which begins with random weights"
            remedy = "leave that part out of it, or begin with a model that has learned (--from)"
            raise ConfigError("train.lora.parts", problem, remedy)
    check_training_memory(config.name, on_meta(config.model, config.name), config.train, torch_device)
    torch.manual_seed(config.train.seed)
    model = VLM(config.model).to(torch_device)
    load_pretrained(model, config)
    return model, Processor.for_model(config.processor, tokenizer, config.model)


def encode_frozen(
    pipe: Pipeline, config: Config, source: Rows | Stream, folder: Path | None, display: Display, ranks: Ranks
) -> Features | None:
    """Return the images as the vision tower encodes them, if it is frozen: once, and not in every epoch.

    Args:
        pipe: The model.
        config: The recipe.
        source: The rows.
        folder: Of the run, for what does not lie in memory.
        display: Tells how long it takes.
        ranks: The processes that train together, each with a file of its own.
    """
    tiled = config.processor.image.fit == "tiles"
    if "vision" not in config.train.frozen or not config.data.views or tiled or isinstance(source, Stream):
        return None
    if is_lazy(source.samples(config.data.split)):
        display.say("the images are encoded in every step: the data are too large to keep what they become")
        return None
    path = None if folder is None else folder / ("features.bin" if ranks.first else f"features-{ranks.rank}.bin")
    images = distinct_images(source.samples(config.data.split))
    views = f", {config.data.encoded_views} views of each," * (config.data.encoded_views > 1)
    display.say(f"encoding {len(images):,} images{views} with the vision tower, which does not learn")
    with display.progress("encoding images") as report:
        return encode_images(
            pipe.model, pipe.processor, images, config.data, seed=config.train.seed, path=path, progress=report
        )


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
    if pipe.model.adapters is not None:  # beside which the weights are still those of the folder
        going_on.base = pipe.base
    going_on.learned = pipe.learned or Learned(before=True)
    return going_on
