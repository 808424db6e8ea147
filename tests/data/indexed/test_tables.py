"""Every form that is indexed: the same rows as of data that are read whole."""

import io

import pytest
from PIL import Image

from ojito.data import DataError


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


CSV = {
    "plain": "image,caption\na.png,x\n\nb.png,y\n",
    "quotes": '\ufeffimage,caption,split\r\na.png,"x, ""y""",train\r\nb.png,"two\r\n\r\nl",val\r\n,,\r\nc.png,y,\r\n',
    "several captions": "image;caption 1;caption 2\na.png;x;y\nb.png;z;\n",
    "answers": 'image,question,answers,kind\na.png,what?,"[""x"", ""y""]",k\n',
    "no names": "a.png\tx\nb.png\ty\n",
    "tabs": 'image\tquestion\tanswer\na.png\tthe "what?\tx\nb.png\t"q"?\ty\n',
    "bars": "image| comment_number| comment\na.png| 0| A red kite .\nb.png| 1| A \"dog .\n",
    "bad": 'image,caption\na.png,x,z\nb.png\nc.png,"a"b\ngone.png,x\nd.png,y\n',
}  # fmt: skip


def compare(data, name="", **options):
    whole, indexed = data.whole(name, **options), data.indexed(name, **options)
    assert type(indexed).__name__ == "IndexedSource"
    assert {*indexed.splits} == {*whole.splits}
    for split in whole.splits:
        found = indexed.samples(split)
        assert [str(row) for row in found if row.problem is None] == [*map(str, whole.samples(split))]
    bad = [str(row.problem) for row in indexed.rows if row.problem is not None]
    places = [problem.partition(" ")[0] for problem in (*indexed.problems, *bad)]
    assert sorted(places) == sorted(problem.partition(" ")[0] for problem in whole.problems)
    assert indexed.notes == whole.notes
    assert indexed.total == whole.total
    return indexed


@pytest.mark.parametrize("text", CSV.values(), ids=CSV)
@pytest.mark.parametrize("name", ["rows.csv", "rows.txt"])
def test_table(data, text, name):
    data.path.joinpath(name).write_bytes(text.encode())
    compare(data, name)


def test_table_with_a_quotation_mark_that_is_never_closed_loses_its_lines(data, monkeypatch):
    monkeypatch.setattr("ojito.data.forms.tables._MOST_LINES", 2)
    data.path.joinpath("rows.csv").write_text('image,caption\na.png,"x\nb.png,y\nb.png,y\nc.png,y\nd.png,z\n')
    source = data.indexed("rows.csv")
    assert source.problems == ["rows.csv:2: opens a quotation mark that is never closed; close it"]
    assert [row.origin for row in source.rows] == ["rows.csv:5", "rows.csv:6"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,words\na.png,x\n", "has the columns image, words"),
        ("image,image,caption\na,b,c\n", "has the column image twice"),
    ],
)
def test_table_that_cannot_be_read_is_refused_as_ever(data, text, says):
    data.path.joinpath("rows.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        data.indexed("rows.csv")


def test_images_with_texts(data, tmp_path):
    folder = tmp_path / "all"
    data.path = folder
    data.images("train/a.png", "train/b.png", "train/ü.png", "val/deep/c.png", "other/d.png")
    for name, text in {"train/a": "x\ny\n", "train/b": "\xff", "train/lonely": "z", "val/deep/c": "w"}.items():
        (folder / f"{name}.txt").write_bytes(text.encode("latin-1"))
    indexed = compare(data)
    assert indexed.problems == [
        "train/ü.png has no caption; write ü.txt, one caption a line".replace(".png ", ".png: ", 1)
    ]
    assert [row.origin for row in indexed.samples("dev")] == ["val/deep/c.txt"]


@pytest.mark.parametrize("above", ["", "train/"])
def test_class_folders(data, tmp_path, above):
    data.path = tmp_path / "all"
    data.images(f"{above}cat/a.png", f"{above}golden_retriever/b.png", f"{above}cat/more/c.png")
    assert [row.turns[0].answers[0] for row in compare(data).rows] == ["cat", "cat", "golden retriever"]


@pytest.mark.parametrize(
    "columns",
    [
        {"image": [{"bytes": png((n, 0, 0)), "path": None} for n in range(5)], "caption": [str(n) for n in range(5)]},
        {
            "image": [png((n, 0, 0)) for n in range(3)],
            "question": ["q?"] * 3,
            "answer": ["a"] * 3,
            "split": ["val", None, "x"],
        },
        {
            "images": [[{"bytes": png((n, 0, 0)), "path": "x"}] * n for n in (1, 2)],
            "texts": [[{"user": "x", "assistant": "y"}] * 2] * 2,
        },
        {"image": ["a.png", "gone.png", "b.png"], "text": ["x", "z", "y"]},
        {
            "image": [png((n, 0, 0)) for n in range(3)],
            "caption": ["x", "y", "z"],
            "question": [None, "what?", "q"],
            "answer": ["a", "b", None],
        },
    ],
)
def test_parquet(data, columns):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), data.path / "rows.parquet", row_group_size=2)
    indexed = compare(data, "rows.parquet")
    stored = [image for row in indexed.rows for image in row.images if hasattr(image, "read")]
    assert all(image.read() for image in stored)


def test_files_in_a_folder_are_one_source_each_in_its_split(data, tmp_path):
    data.path = tmp_path / "all"
    data.images("a.png")
    for name in ("train-0", "train-1", "val-0"):
        data.lines(
            *({"image": "a.png", "question": f"{name} {n}?", "answer": "x"} for n in range(2)), name=f"{name}.jsonl"
        )
    told = []
    indexed = compare(data)
    data.lines({"image": "a.png", "caption": "y"}, name="train-2.jsonl")
    data.indexed("", progress=lambda *of: told.append(of))
    assert indexed.splits == {"train": 4, "dev": 2}
    assert told[-1][0] <= told[-1][1] == sum(path.stat().st_size for path in data.path.glob("*.jsonl"))


def test_form_that_has_to_be_read_whole_is(data):
    data.lines(
        '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "x"}]}', name="c.json"
    )
    assert type(data.indexed("c.json")).__name__ == "Source"
