"""COCO's JSON: captions; and boxes of things, as PaliGemma's answer to "detect cat ; dog".

    {"images": [{"id": 1, "file_name": "1.jpg", "width": 640, "height": 480}],
     "annotations": [{"image_id": 1, "caption": "a kite"}]}
or
     "annotations": [{"image_id": 1, "category_id": 3, "bbox": [left, top, width, height]}],
     "categories": [{"id": 3, "name": "kite"}]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Union

from ojito.data.forms.form import Form, Place, Reading, is_rows
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow
from ojito.errors import OjitoError
from ojito.locate.boxes import BETWEEN, Box, write_boxes


def read_captions(place: Place) -> Reading | None:
    """Read an object whose annotations have captions."""
    if not _is_coco(place.value, "caption"):
        return None
    return Reading("COCO captions", lambda: _rows(place, place.value, _captions))


def read_boxes(place: Place) -> Reading | None:
    """Read an object whose annotations have boxes."""
    if not _is_coco(place.value, "bbox"):
        return None
    labels = {c.get("id"): c.get("name") for c in place.value.get("categories", ()) if isinstance(c, Mapping)}
    return Reading("COCO boxes", lambda: _rows(place, place.value, partial(_boxes, labels)))


_ToRow = Callable[[Mapping[str, Any], list[Mapping[str, Any]]], Union[Mapping[str, Any], BadRow]]

CAPTIONS = Form("COCO captions", read_captions)
BOXES = Form("COCO boxes", read_boxes)


def _is_coco(value: Any, key: str) -> bool:
    if not isinstance(value, Mapping) or not is_rows(value.get("images"), "id", "file_name"):
        return False
    return is_rows(value.get("annotations"), "image_id", key)


def _rows(place: Place, value: Mapping[str, Any], row: _ToRow) -> Iterator[RawRow]:
    """A row for every image that has annotations; the others say nothing."""
    name, folder = place.path.name, place.path.parent
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for number, annotation in enumerate(value["annotations"], 1):
        if isinstance(annotation, Mapping) and "image_id" in annotation:
            found.setdefault(annotation["image_id"], []).append(annotation)
        else:
            yield RawRow(f"{name} annotation {number}", BadRow("has no image_id", "write one"), folder)
    for image in value["images"]:
        if not isinstance(image, Mapping) or image.get("id") not in found:
            continue
        annotations = found.pop(image["id"])
        yield RawRow(f"{name} image {image['id']}", row(image, annotations), folder)
    for number in found:
        yield RawRow(f"{name} image {number}", BadRow("is not among the images", "add it"), folder)


def _captions(image: Mapping[str, Any], annotations: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    captions = [text for text in (annotation.get("caption") for annotation in annotations) if text]
    return {"image": image.get("file_name"), "captions": captions}


def _boxes(
    labels: Mapping[Any, Any], image: Mapping[str, Any], annotations: list[Mapping[str, Any]]
) -> Mapping[str, Any] | BadRow:
    if not all(isinstance(image.get(side), (int, float)) and image[side] > 0 for side in ("width", "height")):
        return BadRow("has no width and height", "write both, in pixels")
    boxes = []
    for annotation in annotations:
        if annotation.get("iscrowd"):  # a box around many things, which PaliGemma's data have not either
            continue
        try:
            left, top, width, height = map(float, annotation["bbox"])
            label = str(labels[annotation["category_id"]])
            boxes.append(Box(top, left, top + height, left + width, label))
        except OjitoError:
            continue  # a box without area, of which COCO has some
        except (KeyError, TypeError, ValueError):
            return BadRow("has a box that cannot be read", "write bbox as [left, top, width, height] and a category_id")
    if not boxes:
        return BadRow("has no boxes with an area", "leave its annotations out")
    boxes.sort(key=lambda box: (box.label, box.top, box.left))
    things = BETWEEN.join(dict.fromkeys(box.label for box in boxes))
    try:
        answer = write_boxes(boxes, image["width"], image["height"])
    except OjitoError as error:
        return BadRow(str(error), "rename the category")
    return {"image": image.get("file_name"), "question": f"detect {things}", "answer": answer, "kind": "detect"}
