"""What a run says before its first step."""

from __future__ import annotations

import itertools
import logging
from collections import Counter

from ojito.config import Config
from ojito.data import Rows, Stream, training_texts
from ojito.data.aspect import aspect_ratio_of, distortion
from ojito.device import fast_bfloat16
from ojito.errors import one_line
from ojito.meter.products import find_products
from ojito.model.lora import adapted_layers, adapter_parameters
from ojito.pipeline import Pipeline
from ojito.processor import Tokenizer
from ojito.threads import Threads
from ojito.trainer import TrainState
from ojito.trainer.loop import OnStep
from ojito.trainer.progress import Display

log = logging.getLogger(__name__)
_LOOKED_THROUGH = 200_000  # texts, for characters that the tokenizer has no entry for


def announcement(pipe: Pipeline, config: Config, source: Rows | Stream) -> list[str]:
    """Return the lines that announce the run: model, length, and how the data were read."""
    rows = "endless" if isinstance(source, Stream) else f"{len(source.samples(config.data.split))} rows"
    train = config.train
    length = [f"{train.steps} steps"] * (train.steps > 0) + [f"{train.minutes:g} minutes"] * (train.minutes > 0)
    parameters = sum(parameter.numel() for parameter in pipe.model.parameters())
    lines = [
        f"training {config.name} ({parameters:,} parameters) on {source.name} ({rows}), {pipe.device}: "
        + " or ".join(length)
    ]
    lines += _adapters(pipe, config)
    if getattr(source, "turns", ""):
        lines.append(f"data: {source.form} ({source.total:,} rows): {source.turns}")  # type: ignore[union-attr]
    return lines


def said_of_products(state: TrainState) -> str:
    """Return in which dtype, and how fast, the run's matrix products really run."""
    return str(find_products(state.device, state.bfloat16, fast_bfloat16(state.device)))


def _adapters(pipe: Pipeline, config: Config) -> list[str]:
    """A line about which parts learn by LoRA, in full, and not at all; none without adapters."""
    model, lora = pipe.model, config.train.lora
    if model.adapters is None or not lora.rank:
        return []
    layers = Counter(name.partition(".")[0] for name, _ in adapted_layers(model))
    by = [f"{count} layers of the {part}" for part, count in layers.items() if part in config.train.adapted]
    parts = {name for name, part in model.parts.items() if any(True for _ in part.parameters())}
    whole = sorted(parts - {*config.train.frozen, *config.train.adapted})
    learning = sum(p.numel() for part in whole for p in model.parts[part].parameters())
    learning += sum(p.numel() for part in config.train.adapted for p in adapter_parameters(model.parts[part]))
    still = sorted(parts - {*whole, *(part for part in layers if part in config.train.adapted)})
    also = f"; {' and '.join(whole)} in full" * bool(whole) + f"; {' and '.join(still)} not at all" * bool(still)
    return [f"learning: {learning:,} parameters, by LoRA of rank {lora.rank} in {' and '.join(by)}{also}"]


def tell_missing(tokenizer: Tokenizer, config: Config, source: Rows | Stream) -> None:
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


def tell_distortion(config: Config, source: Rows | Stream) -> None:
    """Say what a new model will not see of images that are far from square."""
    if isinstance(source, Stream):
        return
    aspect = aspect_ratio_of(source.samples(config.data.split))
    lost, remedy = distortion(aspect, config.processor.image, config.model.vision.image_size)
    if lost:
        log.warning("%s; %s", lost, remedy)


def watching_threads(config: Config, on_step: OnStep | None, display: Display, before: int = 0) -> OnStep | None:
    """Choose the number of threads; return `on_step`, which in a run of some minutes looks at it again.

    A run of some steps keeps its number, so that it can be repeated to the bit.

    Args:
        config: The recipe.
        on_step: Called after a step, or None.
        display: Says how many there are.
        before: As many as the run computed with that is gone on with; 0 where a new one begins.
    """
    threads = Threads(config.train.threads or (0 if config.train.minutes else before))

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
