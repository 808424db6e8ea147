"""Karpathy's JSON of Flickr8k, Flickr30k and COCO: images with sentences and split.

{"images": [{"filename": "1.jpg", "filepath": "val2014", "split": "restval", "sentences": [{"raw": "a kite"}]}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ojito.data.forms.form import Form, Place, Reading, is_rows
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow


def read(place: Place) -> Reading | None:
    """Read an object whose images have sentences."""
    value = place.value
    if not isinstance(value, Mapping) or not is_rows(value.get("images"), "filename", "sentences"):
        return None
    return Reading("Karpathy JSON", lambda: _rows(place, value["images"]))


FORM = Form("Karpathy JSON", read)


def _rows(place: Place, images: list[Any]) -> Iterator[RawRow]:
    for number, image in enumerate(images, 1):
        yield RawRow(f"{place.path.name} image {number}", _row(image), place.path.parent)


def _row(image: Any) -> Mapping[str, Any] | BadRow:
    if not isinstance(image, Mapping):
        return image if isinstance(image, BadRow) else BadRow("is not an object", "write {...}")
    sentences = image.get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(s, Mapping) and "raw" in s for s in sentences):
        return BadRow("has no sentences with raw text", 'write {"sentences": [{"raw": ...}]}')
    folder = f"{image['filepath']}/" if image.get("filepath") else ""
    captions = [sentence["raw"] for sentence in sentences]
    return {"image": f"{folder}{image.get('filename', '')}", "captions": captions, "split": image.get("split")}
