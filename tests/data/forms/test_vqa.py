import pytest

QUESTIONS = [{"question_id": q, "image_id": 9, "question": text} for q, text in ((1, "How many?"), (2, "Why?"))]
TEN = ["two"] * 9 + ["2"]
ANNOTATIONS = [
    {"question_id": q, "image_id": 9, "answer_type": "number", "answers": [{"answer": a, "answer_id": 1} for a in TEN]}
    for q in (1, 2)
]


@pytest.fixture
def train(folder):
    folder.images("train2014/COCO_train2014_000000000009.jpg")
    folder.write("v2_OpenEnded_mscoco_train2014_questions.json", {"data_subtype": "train2014", "questions": QUESTIONS})
    value = {"data_subtype": "train2014", "annotations": ANNOTATIONS}
    folder.write("v2_mscoco_train2014_annotations.json", value)
    return folder


@pytest.mark.parametrize(
    "name", ["", "v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"]
)
def test_either_file_or_their_folder_is_read(train, learned, name):
    image = "train2014/COCO_train2014_000000000009.jpg"
    assert learned(name) == [(image, "How many?", tuple(TEN)), (image, "Why?", tuple(TEN))]
    assert {turn.kind for row in train.read(name).rows for turn in row.turns} == {"number"}


def test_both_splits_of_a_folder(train):
    train.images("val2014/COCO_val2014_000000000009.jpg")
    train.write("v2_OpenEnded_mscoco_val2014_questions.json", {"data_subtype": "val2014", "questions": QUESTIONS})
    train.write("v2_mscoco_val2014_annotations.json", {"data_subtype": "val2014", "annotations": ANNOTATIONS})
    assert train.read().splits == {"train": 2, "dev": 2}


def test_questions_without_their_answers_are_named(train):
    (train.path / "v2_mscoco_train2014_annotations.json").unlink()
    with pytest.raises(ValueError, match=r"has questions, and no .json beside it has their annotations"):
        train.read()


def test_question_without_annotation_is_bad(train):
    value = {"data_subtype": "train2014", "annotations": ANNOTATIONS[:1]}
    train.write("v2_mscoco_train2014_annotations.json", value)
    (problem,) = train.read(max_bad=0.5).problems
    assert "has no annotation for question_id 2" in problem
