"""A growing list of captions, `.csv` or `.jsonl`, that a later run goes on with."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ojito.errors import UsageError

FORMS = (".csv", ".jsonl")
_COLUMNS = ["image", "caption"]
_SYNC_EVERY = 1.0  # seconds: waiting for the disk after every caption would take longer than a GPU takes for it


class CaptionList:
    """Captions by image, in a file that `ojito train --data` reads: paths are relative to it.

    Args:
        path: The file. The rows that it has are kept, but for half a row at its end.

    Attributes:
        path: The file.
        done: Absolute paths of the images that it has.

    Raises:
        UsageError: Another kind of file, one that holds something else, or one that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() not in FORMS:
            raise UsageError(f"--out {path}", "is neither .csv nor .jsonl", "name it captions.csv or captions.jsonl")
        self._csv = path.suffix.lower() == ".csv"
        self._synced = -_SYNC_EVERY
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            # An editor need not end the last line; a run that is killed leaves half a row.
            if self._is_row(content[len(whole) :]):
                whole = content
            self.done = {self._absolute(name) for name in self._names(whole)}
            with path.open("ab") as file:
                file.truncate(len(whole))
                if self._csv and not whole:
                    file.write(b"image,caption\n")
                elif whole and not whole.endswith(b"\n"):
                    file.write(b"\n")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(f"--out {path}", f"cannot be written ({reason})", "name another file") from None

    def has(self, image: Path) -> bool:
        """Whether the list has a caption of the image."""
        return os.path.normpath(image.absolute()) in self.done

    def add(self, captions: Iterable[tuple[Path, str]]) -> None:
        """Write captions: nothing that ends this process takes them back.

        Once a second this waits until they are on the disk, which a failure of the machine does not take back either.

        Args:
            captions: Each image with its caption, which is put on one line.
        """
        lines = io.StringIO()
        for image, caption in captions:
            name, text = self._relative(image), " ".join(caption.split())
            if self._csv:
                csv.writer(lines, lineterminator="\n").writerow([name, text])
            else:
                lines.write(json.dumps({"image": name, "caption": text}, ensure_ascii=False) + "\n")
            self.done.add(os.path.normpath(image.absolute()))
        size = self.path.stat().st_size
        try:
            with self.path.open("ab") as file:
                file.write(lines.getvalue().encode("utf-8", errors="surrogateescape"))
                file.flush()
                if time.monotonic() - self._synced >= _SYNC_EVERY:
                    os.fsync(file.fileno())
                    self._synced = time.monotonic()
        except BaseException:  # a full disk takes half of it
            os.truncate(self.path, size)
            raise

    def sync(self) -> None:
        """Wait until all captions are on the disk."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())

    def _is_row(self, line: bytes) -> bool:
        if self._csv:
            return len(next(csv.reader([line.decode("utf-8", errors="replace")]), ())) == len(_COLUMNS)
        try:
            return bool(json.loads(line))
        except ValueError:
            return False

    def _names(self, content: bytes) -> Iterator[str]:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape")
        if not self._csv:
            for number, line in enumerate(text.splitlines(), 1):
                row: Any = None
                with suppress(ValueError):
                    row = json.loads(line)
                if not isinstance(row, Mapping) or not isinstance(row.get("image"), str):
                    raise self._strange(f"line {number} names no image")
                others = [str(key) for key in row if key not in _COLUMNS]
                if others:  # somebody's data, to which no model's captions belong
                    raise self._strange(f"line {number} has {', '.join(others)}, too")
                yield row["image"]
            return
        rows = csv.reader(io.StringIO(text, newline=""))
        if next(rows, _COLUMNS) != _COLUMNS:
            raise self._strange("its columns are not image,caption")
        for row in rows:
            if len(row) != len(_COLUMNS):
                raise self._strange(f"line {rows.line_num} has {len(row)} cells")
            yield row[0]

    def _strange(self, problem: str) -> UsageError:
        return UsageError(f"--out {self.path}", f"is there, and is no list of captions ({problem})", "name a new file")

    def _absolute(self, name: str) -> str:
        return os.path.normpath(self.path.parent.absolute() / name)

    def _relative(self, image: Path) -> str:
        path = os.path.normpath(image.absolute())
        try:
            return Path(os.path.relpath(path, os.path.normpath(self.path.parent.absolute()))).as_posix()
        except ValueError:  # on another drive
            return path
