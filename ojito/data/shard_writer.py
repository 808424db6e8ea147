"""Writing data as shards: tar archives in WebDataset's layout, each with its index, and their listing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ojito.data.files import DataError, listed
from ojito.data.forms.webdataset import FORM_NAME
from ojito.data.indexed.facts import facts_of
from ojito.data.indexed.index import IndexBuilder
from ojito.data.indexed.index_file import BESIDE, write_index
from ojito.data.shards import LISTING, Shard, read_listing
from ojito.data.source import Source
from ojito.data.sources import check_budget, problem_line
from ojito.data.splits import split_in
from ojito.data.tar_rows import BLOCK
from ojito.data.written import members_of
from ojito.processor import RowError
from ojito.processor.images import ImageError
from ojito.records import Progress, Sample

log = logging.getLogger(__name__)
_STAGING = ".packing"
_DIGITS = 9  # of a row's number, which is the name of its members
_END = 10240  # bytes at the end of an archive, at most


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        shards: The archives.
        problems: Rows that were left out, each with what is wrong.
    """

    shards: tuple[Shard, ...]
    problems: tuple[str, ...]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(shard.rows for shard in self.shards)


def write_shards(
    source: Source,
    out: Path,
    shard_bytes: int,
    max_bad: float,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Packed:
    """Write data as shards. They are in the folder when all of them are whole, and not before.

    Args:
        source: The data.
        out: The folder; it is made.
        shard_bytes: Size of a shard; one row more begins the next.
        max_bad: Share of bad rows that is left out.
        force: Whether shards that are there are replaced.
        progress: Called with the rows done, and all rows.

    Raises:
        DataError: The folder cannot be written or holds something, or there are more bad rows than `max_bad`.
    """
    before, created = check_folder(out, force), not out.exists()
    staging = out / _STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a call that was cut short
        staging.mkdir(parents=True)
        packed = _write(source, staging, shard_bytes, max_bad, progress)
        text = json.dumps({"form": FORM_NAME, "shards": [dataclasses.asdict(s) for s in packed.shards]}, indent=1)
        (staging / LISTING).write_text(text + "\n", encoding="utf-8")
        for name in before:
            (out / name).unlink(missing_ok=True)
        files = [s.file + suffix for s in packed.shards for suffix in ("", BESIDE)]
        for name in (*files, LISTING):  # the listing last: with it, the data are whole
            os.replace(staging / name, out / name)
    except OSError as error:
        raise DataError(
            out, f"cannot be written ({error.strerror or error})", "free the disk, or write elsewhere"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if created and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return packed


def check_folder(out: Path, force: bool) -> list[str]:
    """Check that shards may be written to a folder; return the files in it that are to be replaced.

    Args:
        out: The folder.
        force: Whether shards that are there may be replaced.

    Raises:
        DataError: It holds something else, or shards without `force`; or it is no folder.
    """
    if out.exists() and not out.is_dir():
        raise DataError(out, "is a file", "give a folder")
    there = [path.name for path in out.iterdir() if path.name != _STAGING] if out.exists() else []
    known = {
        LISTING,
        *(shard["file"] + suffix for shard in (read_listing(out) if there else ()) for suffix in ("", BESIDE)),
    }
    others = sorted({*there} - known)
    if others:
        raise DataError(out, f"holds {listed(others, 3)}", "give a new or an empty folder")
    if there and not force:
        raise DataError(out, "holds shards already", "choose another folder, or replace them with --force")
    return there


def _write(source: Source, folder: Path, shard_bytes: int, max_bad: float, progress: Progress) -> Packed:
    bad: list[str] = []
    shards: list[Shard] = []
    done, total, named = 0, sum(source.splits.values()), _names_splits(source)
    for split in source.splits:
        writer = _Writer(folder, split if named else "", shard_bytes)
        for sample in source.samples(split):
            try:
                writer.add(sample, f"{done:0{_DIGITS}}")
            except (ImageError, RowError) as error:
                bad.append(problem_line(sample.origin, error))
                log.warning("skipped %s", bad[-1])
                check_budget(source.name, bad, total, max_bad)
            done += 1
            progress(done, total)
        shards += writer.finish()
    if not shards:
        raise DataError(source.name, "holds no row that can be written", "mend the rows", bad[:5])
    return Packed(tuple(shards), (*source.problems, *bad))


def _names_splits(source: Source) -> bool:
    """Whether the data name splits: where they do not, training holds some rows out, and is to do so of the shards."""
    return [*source.splits] != ["train"] or bool(source.rows[0].split)


class _Writer:
    """Writes the shards of a split, one after the other."""

    def __init__(self, folder: Path, split: str, most: int) -> None:
        self._folder, self._split, self._most = folder, split, most
        self._prefix = re.sub(r"[^\w.-]", "_", split) or "data"
        self._in_row = split if split_in(f"{self._prefix}-000000") != split else ""  # what no name of a file can say
        self._shards: list[Shard] = []
        self._open: _Archive | None = None

    def add(self, sample: Sample, key: str) -> None:
        values, members = members_of(sample, self._in_row)
        size = sum(_in_blocks(content) for content in members.values())
        if self._open is not None and self._open.size + size + _END > self._most:
            self._close()
        if self._open is None:
            self._open = _Archive(self._folder / f"{self._prefix}-{len(self._shards):06}.tar", self._split)
        self._open.add(key, values, members, bool(sample.images))

    def finish(self) -> list[Shard]:
        self._close()
        return self._shards

    def _close(self) -> None:
        if self._open is not None:
            self._shards.append(self._open.close())
            self._open = None


class _Archive:
    """An archive that is being written, and its index."""

    def __init__(self, path: Path, split: str) -> None:
        self._path, self._split = path, split
        self._file = _Hashed(path.open("wb"))
        self._archive = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[arg-type]
        self._builder = IndexBuilder(path.name)

    @property
    def size(self) -> int:
        return int(self._archive.offset)

    def add(self, key: str, values: Mapping[str, Any], members: Mapping[str, bytes], images: bool) -> None:
        facts = facts_of({**values, "image": "in the archive"} if images else values)
        self._builder.add(self.size, facts and facts._replace(images=()))
        for suffix, content in members.items():
            about = tarfile.TarInfo(key + suffix)
            about.size = len(content)
            self._archive.addfile(about, io.BytesIO(content))
            self._archive.members.clear()  # type: ignore[attr-defined]

    def close(self) -> Shard:
        index = self._builder.build(self.size)
        self._archive.close()
        digest = self._file.close()
        size = self._path.stat().st_size
        about = {"form": FORM_NAME, "size": str(size), "sha256": digest}
        write_index(self._path.with_name(self._path.name + BESIDE), index, about)
        return Shard(self._path.name, self._split, len(index), size, digest)


class _Hashed:
    """A file that is written from its beginning to its end, and its SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0

    def tell(self) -> int:
        return self._size

    def write(self, content: bytes) -> int:
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)
        return len(content)

    def close(self) -> str:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


def _in_blocks(content: bytes) -> int:
    """What a member takes in an archive: a block that says what it is, and its content in whole blocks."""
    return BLOCK + -(-len(content) // BLOCK) * BLOCK
