"""The file `learned.json` in a model's folder: what the model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

from ojito.checkpoint.files import MAX_TEXT, MAX_VALUES, CheckpointError, find_file
from ojito.checkpoint.json_text import JsonError, decode_json
from ojito.errors import OjitoError
from ojito.learned import Learned

LEARNED_FILE = "learned.json"


def read_learned(folder: Path | str) -> Learned | None:
    """Return what a folder says that its model has learned; None where it says nothing.

    Raises:
        CheckpointError: The file is damaged.
    """
    if not (Path(folder) / LEARNED_FILE).exists():
        return None
    path = find_file(folder, LEARNED_FILE, MAX_TEXT)
    try:
        return Learned.from_dict(decode_json(path.read_bytes(), MAX_VALUES))
    except (JsonError, OjitoError) as error:
        raise CheckpointError(path, error.problem, error.remedy or "delete it, or train again") from None


def write_learned(folder: Path | str, learned: Learned) -> None:
    """Write the file; call it within `staged_save`."""
    (Path(folder) / LEARNED_FILE).write_text(json.dumps(learned.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
