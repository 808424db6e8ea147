"""VQA v2: a JSON of questions and, beside it, one of annotations with the answers of ten people.

    v2_OpenEnded_mscoco_train2014_questions.json    {"questions": [{"question_id": 1, "image_id": 9, "question": ...}]}
    v2_mscoco_train2014_annotations.json            {"annotations": [{"question_id": 1, "answers": [{"answer": ...}]}]}

Either may be named. The images are COCO's, `COCO_train2014_000000000009.jpg`, in `train2014/` beside the files or in
the same folder. All ten answers are kept, in their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ojito.data.files import DataError
from ojito.data.forms.form import Form, Place, Reading, is_rows
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow

_PARTS = {"questions": ("question_id", "image_id", "question"), "annotations": ("question_id", "image_id", "answers")}


def read(place: Place) -> Reading | None:
    """Read questions with their answers, whichever of the two files is named."""
    part = _part(place)
    if part is None:
        return None
    return Reading("VQA v2", lambda: _rows(place, part))


FORM = Form("VQA v2", read)


def _part(place: Place) -> str | None:
    value = place.value if place.suffix == ".json" else None
    if not isinstance(value, Mapping):
        return None
    return next((part for part, keys in _PARTS.items() if is_rows(value.get(part), *keys)), None)


def partner_of(place: Place, part: str) -> Place | None:
    """The other file: of the same subset and in the same folder."""
    other = "annotations" if part == "questions" else "questions"
    subset = place.value.get("data_subtype", "")
    for name in sorted(place.path.parent.glob("*.json")):
        # Their names say which they are, so that no other large file of the folder is read.
        if name == place.path or other not in name.name.lower() or subset not in name.name:
            continue
        candidate = Place(name)
        if _part(candidate) == other and candidate.value.get("data_subtype", "") == subset:
            return candidate
    return None


def _rows(place: Place, part: str) -> Iterator[RawRow]:
    partner = place if all(is_rows(place.value.get(key)) for key in _PARTS) else partner_of(place, part)
    if partner is None:
        missing = "annotations" if part == "questions" else "questions"
        raise DataError(
            place.path, f"has {part}, and no .json beside it has their {missing}", "put both files into a folder"
        )
    questions, annotations = (place, partner) if part == "questions" else (partner, place)
    answers = {a.get("question_id"): a for a in annotations.value["annotations"] if isinstance(a, Mapping)}
    subset = str(questions.value.get("data_subtype") or annotations.value.get("data_subtype") or "")
    for number, question in enumerate(questions.value["questions"], 1):
        row: Mapping[str, Any] | BadRow = BadRow("is not an object", "write {...}")
        if isinstance(question, Mapping):
            row = _row(question, answers.get(question.get("question_id")), subset, place.path.parent)
        yield RawRow(f"{questions.path.name} question {number}", row, place.path.parent)


def _row(question: Mapping[str, Any], annotation: Any, subset: str, folder: Path) -> Mapping[str, Any] | BadRow:
    if annotation is None:
        return BadRow(f"has no annotation for question_id {question.get('question_id')}", "add one")
    number = question.get("image_id")
    image = question.get("image")
    if image is None and isinstance(number, int):
        image = f"COCO_{subset}_{number:012}.jpg" if subset else f"{number:012}.jpg"
    return {
        "image": image,
        "question": question.get("question"),
        "answers": annotation.get("answers"),
        "kind": annotation.get("answer_type"),
    }
