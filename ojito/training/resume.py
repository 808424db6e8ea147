"""Going on with a run that ended before it was over: where it stands, and whether this is the same run.

Beside the model, the folder of a run has `checkpoints`, from which it goes on, and `run.json` when it is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ojito.checkpoint.durable import replace_text
from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.saving import holds_model
from ojito.config import Config
from ojito.data import Rows, Stream
from ojito.errors import OjitoError
from ojito.records import Sample
from ojito.settings import ConfigError, differences, read, write
from ojito.trainer.checkpoints import Checkpoints, read_state, step_of

Resume = Literal["no", "auto", "must"]

CHECKPOINTS, RUN = "checkpoints", "run.json"
FORMAT = 1

_FREE = ("train.", "data.workers", "data.cache_mb", "data.max_bad", "data.eval_split", "name")
"""Settings that may change within a run, because they change neither what the weights are nor which rows come next."""

_FIXED = (
    "train.batch_size", "train.accumulate", "train.optimizer", "train.freeze", "train.seed", "train.lora.rank",
    "train.lora.alpha", "train.lora.rslora", "train.lora.targets", "train.lora.parts",
)  # fmt: skip
"""Settings of training that may not."""

_QUIET = ("train.save", "train.keep", "train.log_every", "data.workers", "data.cache_mb", "name")
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
            if not key.startswith(_QUIET):
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


def check_resume(resume: str, folder: Path | None) -> None:
    """Check that there may be something to go on with.

    Raises:
        OjitoError: The word is none of `Resume`, or there is no folder.
    """
    if resume not in get_args(Resume):
        raise OjitoError("resume", f"{resume!r} is none of {', '.join(get_args(Resume))}", "choose one of them")
    if resume != "no" and folder is None:
        raise OjitoError("resume", f"{resume!r} needs the folder of a run", "give out=")


def find_unfinished(folder: Path, resume: Resume, force: bool, say: Callable[[str], object]) -> Unfinished | None:
    """Return the run to go on with in a folder; None if a new one begins.

    Args:
        folder: The folder of the run.
        resume: "auto" goes on with what there is, "must" has to find something, "no" begins anew.
        force: Whether a new run may replace what is there.
        say: Hears of checkpoints that are damaged.

    Raises:
        CheckpointError: There is something that must not be replaced, or nothing to go on with.
    """
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    if resume != "no":
        newest = checkpoints.newest(say)
        if newest is not None:
            return Unfinished(newest, read_state(newest))
        if checkpoints.all():
            raise CheckpointError(checkpoints.folder, "holds damaged checkpoints only", "begin a new run elsewhere")
        if resume == "must":
            raise CheckpointError(folder, "holds no checkpoint to go on with", "begin with resume=auto")
    elif checkpoints.all() and not force:
        step = step_of(checkpoints.all()[-1])
        remedy = "go on with --resume auto, choose another folder, or begin anew with --force"
        raise CheckpointError(folder, f"holds a run that came to step {step}", remedy)
    if holds_model(folder) and not force:
        remedy = "choose another folder, or replace it with force=True"
        raise CheckpointError(folder, "holds a model already", remedy)
    return None


def make_way(folder: Path, say: Callable[[str], object]) -> None:
    """Put the checkpoints of another run out of the way of a new one.

    Args:
        folder: The folder of the run.
        say: Hears where they are.

    Raises:
        CheckpointError: They cannot be moved.
    """
    try:
        aside = Checkpoints(folder / CHECKPOINTS).set_aside()
    except OSError as error:
        raise CheckpointError(folder, f"cannot be written ({error.strerror})", "give another folder") from error
    if aside is not None:
        say(f"the checkpoints of the run before are in {aside} now")


def write_complete(folder: Path, asked: Config, values: Mapping[str, Any]) -> None:
    """Write down that the run in a folder is complete.

    Args:
        folder: The folder.
        asked: The recipe, as it was asked for.
        values: What to tell when the run is asked for again.

    Raises:
        CheckpointError: It cannot be written.
    """
    text = json.dumps({"format": FORMAT, "recipe": write(asked), **values}, ensure_ascii=False, indent=1)
    try:
        replace_text(folder / RUN, text + "\n")
    except OSError as error:
        raise CheckpointError(folder / RUN, f"cannot be written ({error.strerror})", "free the disk") from error


def forget_complete(folder: Path) -> None:
    """Let the run in a folder be complete no more: its model was replaced."""
    with suppress(OSError):
        (folder / RUN).unlink(missing_ok=True)


def read_complete(folder: Path, asked: Config) -> dict[str, Any] | None:
    """Return what `write_complete` wrote, if the run in the folder is complete and was asked for in the same words.

    Args:
        folder: The folder of the run.
        asked: The recipe, as it is asked for now.

    Raises:
        CheckpointError: The file is damaged.
    """
    if not (folder / RUN).is_file():
        return None
    values = read_json(folder, RUN)
    if values.get("format") != FORMAT:
        raise CheckpointError(folder / RUN, f"is not of format {FORMAT}", "begin a new run in another folder")
    same = not any(not key.startswith(_QUIET) for key, _, _ in differences(read(Config, values["recipe"]), asked, ""))
    return values if same else None


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
