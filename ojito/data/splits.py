"""Names of splits: how data write them, and how Ojito does."""

from __future__ import annotations

import re

_NAMES = {
    **dict.fromkeys(("train", "training", "trainval", "restval"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_YEAR = re.compile(r"[-_]?20\d\d$")  # COCO's train2014
_WORD = re.compile(r"[a-z]+")


def split_name(name: str) -> str:
    """Ojito's name of a split: "dev" for val, valid and validation; any other stays as it is.

    Karpathy's `restval` are the images of COCO's validation set that everybody trains on.
    """
    plain = _YEAR.sub("", name.strip().lower())
    return _NAMES.get(plain, name.strip())


def split_in(name: str) -> str:
    """The split that the name of a file or folder tells, "dev" in `captions_val2014.json`; "" where it tells none."""
    found = {_NAMES[word] for word in _WORD.findall(name.lower()) if word in _NAMES}
    return found.pop() if len(found) == 1 else ""
