import pytest

from ojito.locate.boxes import parse

IMAGES = [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}, {"id": 8, "file_name": "b.jpg"}]
CATEGORIES = [{"id": 1, "name": "dog"}, {"id": 5, "name": "cat"}]


def box(category, *sides, image=7, **more):
    return {"image_id": image, "category_id": category, "bbox": sides, **more}


def test_captions_of_an_image_are_joined(folder, learned):
    annotations = [{"image_id": 7, "caption": "A dog.\n"}, {"image_id": 7, "caption": "One dog."}]
    folder.images("train2014/a.jpg")
    folder.write("annotations/captions_train2014.json", {"images": IMAGES, "annotations": annotations})
    assert learned("annotations/captions_train2014.json") == [("train2014/a.jpg", "", ("A dog.", "One dog."))]


def test_files_for_splits_are_read_together(folder):
    folder.images("train2017/a.jpg", "val2017/b.jpg")
    for split, image in zip(("train", "val"), IMAGES, strict=True):
        annotations = [{"image_id": image["id"], "caption": "x"}]
        folder.write(f"annotations/captions_{split}2017.json", {"images": [image], "annotations": annotations})
    assert folder.read().splits == {"train": 1, "dev": 1}


def test_boxes_become_answers_to_detect(folder):
    boxes = [box(1, 10, 20, 30, 10), box(5, 0, 0, 50, 50), box(1, 0, 5, 10, 10), box(1, 0, 0, 9, 9, iscrowd=1)]
    value = {"images": IMAGES[:1], "annotations": [*boxes, box(5, 3, 3, 0, 9)], "categories": CATEGORIES}
    folder.images("a.jpg").write("instances.json", value)
    ((turn,),) = [row.turns for row in folder.read("instances.json").rows]
    assert (turn.prompt, turn.kind) == ("detect cat ; dog", "detect")
    found = [
        (b.label, *(round(s) for s in (b.left, b.top, b.right, b.bottom))) for b in parse(turn.answers[0], 100, 50)
    ]
    assert found == [("cat", 0, 0, 50, 50), ("dog", 0, 5, 10, 15), ("dog", 10, 20, 40, 30)]


@pytest.mark.parametrize(
    ("annotation", "image", "problem"),
    [
        (box(9, 1, 1, 5, 5), IMAGES[0], "has a box that cannot be read"),
        (box(1, 1, 1, 5), IMAGES[0], "has a box that cannot be read"),
        (box(1, 1, 1, 0, 0), IMAGES[0], "has no boxes with an area"),
        (box(1, 1, 1, 5, 5), {**IMAGES[0], "width": None}, "has no width and height"),
        (box(1, 1, 1, 5, 5, image=9), IMAGES[0], "is not among the images"),
    ],
)
def test_boxes_that_cannot_be_used_make_a_bad_row(folder, annotation, image, problem):
    good = {"id": 1, "file_name": "b.jpg", "width": 9, "height": 9}
    annotations = [annotation, box(1, 1, 1, 5, 5, image=1)]
    value = {"images": [image, good], "annotations": annotations, "categories": CATEGORIES}
    folder.images("a.jpg", "b.jpg").write("instances.json", value)
    source = folder.read("instances.json", max_bad=0.5)
    assert len(source.rows) == 1
    assert problem in source.problems[0]


def test_label_that_would_end_a_label_is_named(folder):
    value = {"images": IMAGES[:1], "annotations": [box(1, 1, 1, 5, 5)], "categories": [{"id": 1, "name": "a ; b"}]}
    folder.images("a.jpg").write("instances.json", value)
    with pytest.raises(ValueError, match="holds ';' or '<', which end a label"):
        folder.read("instances.json", max_bad=0.5)
