"""Files of rows, `.jsonl`, `.csv` or images with `.txt` beside them, become mappings of keys to values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

from ojito.data.rows import BadRow, json_name
from ojito.errors import OjitoError, nearest

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
LISTS = (".jsonl", ".csv")

RawRow = tuple[str, Union[Mapping[str, Any], BadRow]]
"""Where a row stands ("captions.jsonl:12"), and its keys and values, or why it has none."""


class DataError(OjitoError):
    """Data that cannot be used; `where` is the file and line."""


def find_file(path: Path) -> Path:
    """Return the file to read, or the folder itself for images with `.txt`.

    Raises:
        DataError: Nothing to read there, or several lists.
    """
    if path.is_file():
        if path.suffix.lower() not in LISTS:
            raise DataError(path, "is neither .jsonl nor .csv", "give such a file, or a folder")
        return path
    if not path.is_dir():
        built_in = "check the path, or use scenes or photos16, which are built in"
        raise DataError(path, "does not exist", nearest(path.name, [p.name for p in path.parent.glob("*")], built_in))
    if (path / "captions.csv").is_file():
        return path / "captions.csv"
    lists = sorted(path.glob("*.jsonl"))
    if len(lists) > 1:
        names = ", ".join(p.name for p in lists)
        raise DataError(path, f"holds {len(lists)} lists, {names}", "give the path of one")
    if lists:
        return lists[0]
    if not any(p.suffix.lower() in IMAGES for p in path.iterdir()):
        raise DataError(path, "holds no captions.csv, no .jsonl file and no images", "give a folder that does")
    return path


def raw_rows(file: Path) -> Iterator[RawRow]:
    """Yield the rows of a file that `find_file` found.

    Raises:
        DataError: The file cannot be read at all.
    """
    if file.is_dir():
        return _from_texts(file)
    return _from_csv(file) if file.suffix.lower() == ".csv" else _from_jsonl(file)


def _from_jsonl(file: Path) -> Iterator[RawRow]:
    for number, line in enumerate(file.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        origin = f"{file.name}:{number}"
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield origin, BadRow("is not UTF-8 text", "save the file as UTF-8")
        except json.JSONDecodeError as error:
            yield origin, BadRow(f"is not JSON ({error.msg}, column {error.colno})", "mend the line")
        except ValueError:  # Python refuses to read a whole number of thousands of digits
            yield origin, BadRow("holds a number of more digits than can be read", "mend the line")
        except RecursionError:
            yield origin, BadRow("is nested too deeply", "mend the line")
        else:
            good = isinstance(row, dict)
            yield origin, row if good else BadRow(f"is {json_name(row)}, not an object", "write {...}")


def _from_csv(file: Path) -> Iterator[RawRow]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            columns = [name.strip().lower() for name in next(reader, [])]
            if not {"image", "caption"} <= set(columns) and not {"image", "question", "answer"} <= set(columns):
                raise DataError(
                    file.name,
                    f"has the columns {', '.join(columns) or '(none)'}",
                    "it needs image,caption or image,question,answer in its first line, separated by commas",
                )
            for cells in reader:
                if not cells:
                    continue
                row: Mapping[str, Any] | BadRow = dict(zip(columns, cells, strict=False))
                if len(cells) != len(columns):
                    row = BadRow(
                        f"has {len(cells)} cells, not {len(columns)}", 'put a text that has commas into "quotes"'
                    )
                yield f"{file.name}:{reader.line_num}", row
    except UnicodeDecodeError:
        raise DataError(file.name, "is not UTF-8 text", "save it as CSV UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{file.name}:{reader.line_num}", f"is not CSV ({error})", "mend the line") from None


def _from_texts(folder: Path) -> Iterator[RawRow]:
    files = sorted(folder.iterdir())
    images = {p.stem: p for p in files if p.suffix.lower() in IMAGES}
    texts = {p.stem: p for p in files if p.suffix.lower() == ".txt"}
    for stem in sorted(images.keys() | texts.keys()):
        if stem not in texts:
            yield images[stem].name, BadRow("has no caption", f"write {stem}.txt, one caption a line")
        elif stem not in images:
            yield texts[stem].name, BadRow("belongs to no image", f"add {stem}.jpg")
        else:
            try:
                lines = texts[stem].read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError:
                yield texts[stem].name, BadRow("is not UTF-8 text", "save it as UTF-8")
                continue
            yield texts[stem].name, {"image": images[stem].name, "captions": [x for x in lines if x.strip()]}
