import io
import json

import pytest
from PIL import Image

from ojito.processor.images import open_image

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def stored(colour):
    return {"bytes": png(colour), "path": None}


@pytest.fixture
def save(folder):
    def save(columns, name="rows.parquet", metadata=None):
        table = arrow.table(columns)
        if metadata:
            table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
        parquet.write_table(table, folder.path / name, row_group_size=2)

    return save


def colours(row):
    return [open_image(image).getpixel((0, 0)) for image in row.images]


def test_images_in_the_file_are_read_when_they_are_needed(folder, save):
    save({"image": [stored(c) for c in (RED, GREEN, BLUE)], "caption": ["red", "green", "blue"]})
    rows = folder.read("rows.parquet").rows
    assert [row.turns[0].answers for row in rows] == [("red",), ("green",), ("blue",)]
    assert [colours(row) for row in rows] == [[RED], [GREEN], [BLUE]]


def test_lists_of_images_and_the_cauldrons_texts(folder, save):
    texts = [
        [{"user": "which?", "assistant": "both", "source": "x"}, {"user": "so?", "assistant": "yes", "source": "y"}]
    ]
    save({"images": [[stored(RED), stored(BLUE)]], "texts": texts})
    (row,) = folder.read("rows.parquet").rows
    assert colours(row) == [RED, BLUE]
    assert [(turn.prompt, turn.answers, turn.kind) for turn in row.turns] == [
        ("which?", ("both",), "x"),
        ("so?", ("yes",), "y"),
    ]
    assert row.chat


def test_plain_bytes_are_images(folder, save):
    save({"image": [png(RED)], "text": ["red"]})
    assert colours(folder.read("rows.parquet").rows[0]) == [RED]


STRUCT = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])


@pytest.mark.parametrize(
    "image",
    [["a.jpg"], [{"bytes": None, "path": "a.jpg"}], arrow.array([{"bytes": None, "path": "a.jpg"}], STRUCT)],
)
def test_images_beside_the_file_are_found_by_their_paths(folder, save, image):
    folder.images("a.jpg")
    save({"image": image, "text": ["red"]})
    assert folder.read("rows.parquet").rows[0].images == [folder.path / "a.jpg"]


def test_classes_have_their_names(folder, save):
    names = {"info": {"features": {"label": {"names": ["cat", "big_dog"], "_type": "ClassLabel"}}}}
    save({"image": [stored(RED)] * 3, "label": [1, 0, 7]}, metadata=names)
    assert [t.answers for row in folder.read("rows.parquet").rows for t in row.turns] == [
        ("big dog",),
        ("cat",),
        ("7",),
    ]


def test_missing_values_are_as_if_their_columns_were_missing(folder, save):
    save({"image": [stored(RED)] * 2, "caption": ["x", None], "question": [None, "q"], "answer": [None, "a"]})
    found = [(t.prompt, t.answers) for row in folder.read("rows.parquet").rows for t in row.turns]
    assert found == [("", ("x",)), ("q", ("a",))]


def test_shards_in_a_folder_called_data(folder, save):
    (folder.path / "data").mkdir()
    for split in ("train", "validation"):
        for number in range(2):
            name = f"data/{split}-{number:05}-of-00002.parquet"
            save({"image": [stored((number, 0, 0))], "text": ["x"]}, name)
    assert folder.read().splits == {"train": 2, "dev": 2}


def test_imagefolder_with_parquet(folder, save):
    folder.images("a.jpg")
    save({"file_name": ["a.jpg"], "text": ["red"]}, "metadata.parquet")
    assert folder.read().rows[0].images == [folder.path / "a.jpg"]


def test_file_that_is_no_parquet_is_named(folder):
    folder.write("rows.parquet", "hello")
    with pytest.raises(ValueError, match=r"rows.parquet: cannot be read as parquet"):
        folder.read("rows.parquet")


def test_without_pyarrow_the_extra_is_named(folder, save, monkeypatch):
    save({"image": [stored(RED)], "text": ["x"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pyarrow reads, and that is not installed; .*ojito\[parquet\]"):
        folder.read("rows.parquet")
