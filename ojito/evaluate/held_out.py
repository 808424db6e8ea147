"""Rows to score a model on, opened as its recipe reads data, and the baselines that they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.config import Config
from ojito.data import Scenes, Source, drawn_rows, find_split, mark_held_out, open_data
from ojito.errors import ConfigError
from ojito.evaluate.metrics.overlap import Baselines, caption_baselines, is_caption
from ojito.records import Sample
from ojito.settings import override, read, write

if TYPE_CHECKING:
    from ojito.pipeline import Pipeline


CHOSEN_FROM = 20_000
"""Rows of large data that baselines are learned from."""


@dataclass(frozen=True)
class HeldOut:
    """Rows of one split.

    Attributes:
        source: Where they come from.
        split: The split.
        rows: Its rows, as many as were asked for.
        learned: How many of them have an image that the model was trained on; None where nobody knows.
        kept: Whether they are rows that training held out of its own data.
    """

    source: Source | Scenes
    split: str
    rows: Sequence[Sample]
    learned: int | None = None
    kept: bool = False

    @property
    def said(self) -> str:
        """When the rows were learned, in a sentence; empty where nobody knows."""
        count = len(self.rows)
        rows = "its only row was" if count == 1 else f"all {count:,} rows were"
        if self.learned is None:
            return ""
        if self.learned == count:
            return f"{rows} learned in training: this score says what the model has by heart, not what it sees"
        if self.learned:
            verb = "was" if self.learned == 1 else "were"
            return f"{self.learned:,} of {count:,} rows {verb} learned in training: these the model may have by heart"
        if self.kept:
            return f"{rows} held out of training: the model has never seen the images"
        return f"{rows} not in training: the model has never seen the images"

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {"rows": len(self.rows), "learned": self.learned, "held_out": self.kept}


def open_held_out(
    pipe: Pipeline,
    path: Path | str,
    split: str = "",
    limit: int | None = None,
    seed: int = 0,
    settings: Sequence[str] = (),
) -> HeldOut:
    """Open the rows to score a model on.

    Where the data name no split, and the model was trained on them and some rows were held out, it is those.

    Args:
        pipe: The model, whose recipe says how data are read.
        path: A folder, a `.jsonl` or `.csv` file, or a built-in source.
        split: The split; by default the one that the recipe evaluates on, or the only one there is.
        limit: Maximal number of rows; None for all.
        seed: Decides which rows are drawn, where there are more.
        settings: Of `data`, over the recipe's: "data.max_bad=0.5".

    Raises:
        ConfigError: A setting that cannot be used.
        DataError: The data cannot be read, or have no such split.
    """
    config = pipe.config or Config()
    data = {"data": write(dataclasses.replace(config.data, path=str(path)))}
    changed = override(data, settings)
    for group in changed:
        if group != "data":
            raise ConfigError(group, "is not of data, as all settings of an evaluation are", "use data.max_bad=0.5")
    config = dataclasses.replace(config, data=read(Config, changed).data, processor=pipe.processor.config)
    opened = open_data(config)
    if isinstance(opened, Scenes):
        split = split or config.data.eval_split
        return HeldOut(opened, split, opened.samples(split, limit))
    source = mark_held_out(opened, pipe.learned, config.data.eval_split)
    splits = list(source.splits)
    if split:
        split = find_split(splits, split, test=False)
    else:
        split = splits[0] if len(splits) == 1 else find_split(splits, config.data.eval_split)
    rows = source.samples(split, limit, seed)
    learned = pipe.learned.count(rows) if pipe.learned and pipe.learned.learned else None
    if learned == 0 and pipe.learned and pipe.learned.before:
        learned = None  # the weights that training began with may have seen anything
    return HeldOut(source, split, rows, learned, source is not opened and split == config.data.eval_split)


def held_out_baselines(held_out: HeldOut, seed: int = 0) -> Baselines | None:
    """Score captions that are chosen without looking; None where the training split has none to choose from."""
    source, split = held_out.source, held_out.split
    if isinstance(source, Scenes) or split == "train" or "train" not in source.splits:
        return None
    train = drawn_rows(source.samples("train"), CHOSEN_FROM)
    if not all(any(is_caption(t) and t.answers for s in rows for t in s.dialogue) for rows in (train, held_out.rows)):
        return None
    return caption_baselines(train, held_out.rows, seed)
