"""Rows to score a model on, opened as its recipe reads data, and the baselines that they allow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ojito.config import Config
from ojito.data import Scenes, Source, open_data
from ojito.evaluation.metrics.captions import Baselines, caption_baselines, is_caption
from ojito.records import Sample

if TYPE_CHECKING:
    from ojito.pipeline import Pipeline


@dataclass(frozen=True)
class HeldOut:
    """Rows of one split.

    Attributes:
        source: Where they come from.
        split: The split.
        rows: Its rows, as many as were asked for.
    """

    source: Source | Scenes
    split: str
    rows: list[Sample]


def open_held_out(pipe: Pipeline, path: Path | str, split: str = "", limit: int | None = None) -> HeldOut:
    """Open the rows to score a model on.

    Args:
        pipe: The model, whose recipe says how data are read.
        path: A folder, a `.jsonl` or `.csv` file, or a built-in source.
        split: The split; by default the one that the recipe evaluates on, or the only one there is.
        limit: Maximal number of rows; None for all.

    Raises:
        DataError: The data cannot be read, or have no such split.
    """
    config = pipe.config or Config()
    data = dataclasses.replace(config.data, path=str(path))
    source = open_data(dataclasses.replace(config, data=data, processor=pipe.processor.config))
    splits = list(source.splits)
    split = split or (splits[0] if len(splits) == 1 else config.data.eval_split)
    return HeldOut(source, split, source.samples(split, limit))


def held_out_baselines(held_out: HeldOut, seed: int = 0) -> Baselines | None:
    """Score captions that are chosen without looking; None where the training split has none to choose from."""
    source, split = held_out.source, held_out.split
    if isinstance(source, Scenes) or split == "train" or "train" not in source.splits:
        return None
    train = source.samples("train")
    if not all(any(is_caption(t) and t.answers for s in rows for t in s.dialogue) for rows in (train, held_out.rows)):
        return None
    return caption_baselines(train, held_out.rows, seed)
