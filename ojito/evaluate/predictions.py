"""All answers of an evaluation in files: predictions.jsonl, scores.json, report.html."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.evaluate.runner import Graded, Report
from ojito.records import StoredImage
from ojito.web_page import write_page

PREDICTIONS, SCORES, PAGE = "predictions.jsonl", "scores.json", "report.html"


def predictions(report: Report) -> Iterator[dict[str, Any]]:
    """Yield a mapping for every question, in their order: where it comes from, what was said, and how it was graded."""
    blank, exchanged = ({one.number: one.given for one in graded} for graded in (report.blank, report.exchanged))
    for one in report.graded:
        choices = {"choices": list(one.turn.choices)} if one.turn.choices else {}
        yield {
            "row": one.sample.origin,
            "image": _images(one),
            "kind": one.kind,
            "question": one.turn.prompt,
            "answer": one.given,
            "references": list(one.turn.answers),
            **choices,
            "right": one.right,
            "overlap": None if one.overlap is None else round(one.overlap, 4),
            "finish": one.finish,
            "blank": blank.get(one.number),
            "exchanged": exchanged.get(one.number),
        }


def make_folder(folder: Path | str) -> Path:
    """Make the folder of an evaluation where it is missing, before the time that the questions take.

    Raises:
        OjitoError: It cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "it may not be written to"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise OjitoError(folder, f"cannot take the answers ({reason})", "give another folder")
    return folder


def write_evaluation(folder: Path | str, report: Report, scores: Mapping[str, Any], html: str) -> None:
    """Write the three files; those of an earlier evaluation are replaced.

    Args:
        folder: What `make_folder` made.
        report: The evaluation.
        scores: What scores.json holds.
        html: The page.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    with (folder / PREDICTIONS).open("w", encoding="utf-8") as file:
        for values in predictions(report):
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
    (folder / SCORES).write_text(json.dumps(scores, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    write_page(folder / PAGE, html)


def _images(one: Graded) -> Any:
    """The path of the image, or of several; null for one that has none."""
    paths = [str(image) if isinstance(image, (str, Path, StoredImage)) else None for image in one.sample.images]
    return paths[0] if len(paths) == 1 else paths or None
