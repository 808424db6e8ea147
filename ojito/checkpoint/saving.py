"""Saving a folder whole or not at all.

Every file is written to a hidden folder inside and synced to the disk, and only then moved into place, one by one,
`config.json` last. Files that stay the same are left alone. So saving a run again replaces nothing but the weights, in
one step that either happens or not; so does saving an adapter again, whose adapter_config.json stands for `config.json`
in all of this. Where another model was in the folder, or the weights are more than one file,
`config.json` goes first: a save that is cut short leaves a folder without one, which does not load, and never a mixture
of two models. What only the one before had goes. Other files in the folder, such as metrics.jsonl, stay.

The files of the one before stand in `.before` meanwhile, as links that cost no disk. From there a save that fails puts
them back; after one that was killed, the error about the missing `config.json` names the folder, which loads.
"""

from __future__ import annotations

import filecmp
import fnmatch
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ojito.checkpoint.durable import sync
from ojito.checkpoint.files import (
    ADAPTER,
    ADAPTER_FILES,
    ADAPTER_WEIGHTS,
    BEFORE,
    CONFIG,
    INDEX,
    WEIGHTS,
    CheckpointError,
    UnsavedError,
)

STAGING = ".saving"

WEIGHT_FILES = ("model*.safetensors", INDEX, "pytorch_model*", "model.gguf", "mmproj.gguf", *ADAPTER_FILES)

OTHER_FILES = (
    "tokenizer.json", "processor.json", "recipe.yaml", "learned.json",
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "vocab.json", "merges.txt", "preprocessor_config.json", "processor_config.json",
    "video_preprocessor_config.json", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
"""What makes a model beside config.json, in any form. A card is not among them: somebody may have written it."""

_LAST = (CONFIG, ADAPTER)
"""Without one of these, a folder does not load: it goes first and comes last. An adapter has the second."""

_MODEL = (CONFIG, *WEIGHT_FILES, *OTHER_FILES)


@contextmanager
def staged_save(folder: Path | str, keep: Collection[str] = ()) -> Iterator[Path]:
    """Give a hidden folder to write files into; at the end they become the files of `folder`, as described above.

    An exception leaves `folder` as it was. One process at a time saves into a folder.

    Args:
        folder: The folder that the model is saved in.
        keep: Names of files that stay as they are where the folder has them: somebody may have written them.

    Raises:
        UnsavedError: The folder cannot be written.
    """
    folder = Path(folder)
    staging, created = folder / STAGING, not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)  # of a save that was cut short
        staging.mkdir()
        yield staging
        _give_modes(staging)
        _commit(staging, folder, keep)
    except OSError as error:
        remedy = "free the disk, or save elsewhere"
        raise UnsavedError(folder, f"cannot be written ({_reason(error)})", remedy) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if created and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def check_room(folder: Path | str, size: int = 0) -> None:
    """Check that a folder can be written, and has room, before the work whose result it is to hold.

    Args:
        folder: The folder to save in; it is not made yet.
        size: Bytes that will be written.

    Raises:
        CheckpointError: It cannot, or has not.
    """
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            usage = shutil.disk_usage(folder)
    except OSError as error:
        raise CheckpointError(folder, f"cannot be written ({_reason(error)})", "give another folder") from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
    if size > usage.free and usage.total:  # some file systems do not tell
        sizes = f"{size / 2**20:,.0f} MiB, and {usage.free / 2**20:,.0f} MiB of the disk are free"
        raise CheckpointError(folder, f"is to hold a model of {sizes}", "free some, or save elsewhere")


def free_beside(folder: Path | str) -> Path:
    """The folder beside this one for a model that must not replace the one there: "mine-failed", "mine-failed-2"."""
    folder = Path(folder)
    if folder.name in ("", ".."):
        folder = folder.resolve()
    names = itertools.chain([f"{folder.name}-failed"], (f"{folder.name}-failed-{n}" for n in itertools.count(2)))
    return next(path for path in map(folder.with_name, names) if not path.exists())


def holds_model(folder: Path | str) -> bool:
    """Tell whether the folder holds a model of any form, a part of one, or what a save that was cut short left."""
    return bool(_matching(Path(folder), (CONFIG, *WEIGHT_FILES))) or (Path(folder) / BEFORE).is_dir()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _give_modes(staging: Path) -> None:
    """Give the files the mode that any new file has here. The safetensors library writes some for their owner alone."""
    probe = staging / ".mode"
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for path in staging.iterdir():
        path.chmod(mode)


def _matching(folder: Path, patterns: Sequence[str]) -> set[str]:
    names = [path.name for path in folder.iterdir() if not path.is_dir()] if folder.is_dir() else []
    return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}


def _commit(staging: Path, folder: Path, keep: Collection[str]) -> None:
    """Move the files into place, and remove those that only the model before had."""
    files = {path.name for path in staging.iterdir()} - {name for name in keep if os.path.lexists(folder / name)}
    changed = {name for name in files if not _same(staging / name, folder / name)}
    # Where there is no model, a recipe.yaml or a vocab.json is somebody's.
    obsolete = _matching(folder, (*WEIGHT_FILES, *OTHER_FILES)) - files if holds_model(folder) else set()
    another = bool(
        changed - {WEIGHTS, ADAPTER_WEIGHTS} or obsolete
    )  # model or processor: for a moment the files do not fit together
    changed |= {name for name in _LAST if another and (staging / name).exists()}
    for name in changed:
        sync(staging / name)
    touched = changed | (_matching(folder, _MODEL) if another else set())
    before = _set_aside(staging, folder, touched, another)
    try:
        if another:
            for name in _LAST:
                (folder / name).unlink(missing_ok=True)
            sync(folder)
            for name in obsolete:
                (folder / name).unlink(missing_ok=True)
        for name in sorted(changed, key=_config_last):
            os.replace(staging / name, folder / name)
        sync(folder)
        _drop(folder / BEFORE, staging)
    except BaseException:
        with suppress(OSError):  # of a disk that fails; `before` stays
            _put_back(before, staging, folder, touched)
        raise


def _set_aside(staging: Path, folder: Path, names: Collection[str], another: bool) -> Path:
    """Link those of the files that exist into a folder of their own, which appears in one step.

    Args:
        staging: Of the save.
        folder: Where the files are.
        names: Of the files.
        another: Whether the folder will hold none or another model for a moment; if so the links are where the error
            about that looks for them.
    """
    before = folder / BEFORE
    if before.is_dir() and not any((folder / name).exists() for name in _LAST):
        return before  # a save was cut short, so that these are still the model before it
    _drop(before, staging)
    links = staging / BEFORE
    links.mkdir()
    present = [name for name in names if os.path.lexists(folder / name)]
    for name in present:
        _link(folder / name, links / name)
    if not another or not present:
        return links
    sync(links)
    links.rename(before)
    return before


def _put_back(before: Path, staging: Path, folder: Path, names: Collection[str]) -> None:
    """Restore the files of these names, `config.json` last: until then, `before` is kept whole."""
    old = {path.name for path in before.iterdir()}
    for name in _LAST:
        if name in names:
            (folder / name).unlink(missing_ok=True)
    for name in set(names) - old:
        (folder / name).unlink(missing_ok=True)
    for name in sorted(old, key=_config_last):
        _link(before / name, staging / ".back")
        os.replace(staging / ".back", folder / name)
        (staging / ".back").unlink(missing_ok=True)  # where both were one file, that did nothing
    try:
        sync(folder)
    finally:
        _drop(folder / BEFORE, staging)


def _drop(before: Path, staging: Path) -> None:
    """Drop the links in one step; they are deleted with the staging folder."""
    if before.is_dir():
        dropped = staging / ".dropped"
        shutil.rmtree(dropped, ignore_errors=True)
        before.rename(dropped)


def _link(old: Path, new: Path) -> None:
    """Make a hard link; where the file system has none, a copy."""
    try:
        os.link(old, new, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(old, new, follow_symlinks=False)


def _config_last(name: str) -> bool:
    return name in _LAST


def _same(new: Path, old: Path) -> bool:
    # Weights are as good as never the same, and long to compare.
    return new.suffix != ".safetensors" and old.is_file() and filecmp.cmp(new, old, shallow=False)
