"""Going on with a run that ended before it was over: whether this is the same run, and what may be another now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ojito.checkpoint.files import CheckpointError
from ojito.config import Config
from ojito.data import Rows, Stream
from ojito.errors import OjitoError
from ojito.records import Sample
from ojito.settings import ConfigError, differences, read
from ojito.trainer.checkpoints import step_of

Resume = Literal["no", "auto", "must"]

_FREE = ("train.", "data.workers", "data.prefetch", "data.cache_mb", "data.max_bad", "data.eval_split", "name")
"""Settings that may change within a run, because they change neither what the weights are nor which rows come next."""

_FIXED = (
    "train.batch_size", "train.accumulate", "train.optimizer", "train.freeze", "train.seed", "train.lora.rank",
    "train.lora.alpha", "train.lora.rslora", "train.lora.targets", "train.lora.parts",
)  # fmt: skip
"""Settings of training that may not."""

QUIET = (
    "train.save", "train.keep", "train.log", "train.grounding", "train.show", "data.workers", "data.prefetch",
    "data.cache_mb", "name",
)  # fmt: skip
"""Settings that nobody has to be told about."""

_LOOKED_AT = 1000  # rows of a large source that its fingerprint is made of


@dataclass(frozen=True)
class Unfinished:
    """A run that is gone on with.

    Attributes:
        checkpoint: Its newest checkpoint that is whole.
        values: What is in it.
    """

    checkpoint: Path
    values: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Steps that are done."""
        return step_of(self.checkpoint)

    @property
    def threads(self) -> int:
        """Threads that it computed with: another number would round sums otherwise."""
        return int(self.values["threads"])

    def changed(self, asked: Config) -> list[str]:
        """Return a line about each setting that is another now, and may be.

        Args:
            asked: The recipe, as it is asked for now.

        Raises:
            ConfigError: A setting is another that may not.
        """
        before = read(Config, self.values["recipe"])
        lines = []
        for key, old, new in differences(before, asked, ""):
            if not key.startswith(_FREE) or key.startswith(_FIXED):
                problem = f"is {new!r}, and the run that is gone on with has {old!r}"
                raise ConfigError(key, problem, "leave it as it was, or begin a new run in another folder")
            if not key.startswith(QUIET):
                lines.append(f"{key} is {new!r} from here on, and was {old!r}")
        return lines

    def check_rows(self, rows: str, name: str) -> None:
        """Check that the data are those that the run began with.

        Args:
            rows: What `fingerprint` returns for the data as they are now.
            name: Of the data.

        Raises:
            CheckpointError: They are others.
        """
        if rows != self.values["rows"]:
            problem = "has other rows than when the run began, so that it cannot go on where it was"
            raise CheckpointError(name, problem, "bring back the rows, or begin a new run in another folder")


def check_resume(resume: str, folder: Path | str | None) -> None:
    """Check that there may be something to go on with.

    Raises:
        OjitoError: The word is none of `Resume`, or there is no folder.
    """
    if resume not in get_args(Resume):
        raise OjitoError("resume", f"{resume!r} is none of {', '.join(get_args(Resume))}", "choose one of them")
    if resume != "no" and folder is None:
        raise OjitoError("resume", f"{resume!r} needs the folder of a run", "give out=")


def fingerprint(source: Rows | Stream, config: Config) -> str:
    """Return a digest by which data are known again: of their number and, of many rows, of some.

    Args:
        source: The rows.
        config: The recipe.
    """
    if isinstance(source, Stream):
        return "endless"
    rows = source.samples(config.data.split)
    found = hashlib.sha256(str(len(rows)).encode())
    for number in range(0, len(rows), -(-len(rows) // _LOOKED_AT) or 1):
        for text in _texts(rows[number]):
            found.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return found.hexdigest()[:32]


def _texts(row: Sample) -> Iterator[str]:
    for turn in row.turns:
        yield turn.prompt
        yield from turn.answers
