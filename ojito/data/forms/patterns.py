"""Paths that stand for several files: `train-{000000..000099}.tar`, as WebDataset writes them, and `train-*.tar`."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from ojito.data.files import DataError, listed

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 1_000_000  # files


def expanded(path: Path) -> list[Path]:
    """Return the files that a path stands for; none where it is the path of a file or folder, or of nothing.

    Args:
        path: The path, or a pattern.

    Raises:
        DataError: Some files of a range are not there, or it has too many.
    """
    text = str(path)
    if path.exists() or not any(sign in text for sign in "{*?["):
        return []
    names = _in_ranges(text)
    if names == [text]:
        return [Path(name) for name in sorted(glob.glob(text))]
    found = [Path(name) for name in names]
    missing = [file.name for file in found if not file.exists()]
    if missing:
        problem = f"{len(missing):,} of {len(found):,} files are not there: {listed(missing, 3)}"
        raise DataError(path, problem, "check the numbers of the first and the last")
    return found


def _in_ranges(text: str) -> list[str]:
    match = _RANGE.search(text)
    if match is None:
        return [text]
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    if last - first >= _MOST:
        raise DataError(text, f"stands for {last - first + 1:,} files", "write a smaller range")
    numbers = [f"{number:0{width}}" for number in range(first, last + 1)]
    return [text[: match.start()] + number + rest for rest in _in_ranges(text[match.end() :]) for number in numbers]
