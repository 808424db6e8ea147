import json

import pytest


def lines(*rows):
    return "\n".join(map(json.dumps, rows))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,text\na.jpg,a dog\n"),
        ("metadata.jsonl", '{"file_name": "a.jpg", "text": "a dog"}\n'),
    ],
)
def test_imagefolder(folder, learned, name, text):
    folder.images("a.jpg", "b.jpg").write(name, text)
    assert learned() == learned(name) == [("a.jpg", "", ("a dog",))]


def test_imagefolder_in_folders_for_splits(folder, learned):
    folder.images("train/a.jpg", "test/a.jpg")
    folder.write("train/metadata.csv", "file_name,text\na.jpg,a dog\n")
    folder.write("test/metadata.csv", "file_name,text\na.jpg,a pup\n")
    assert folder.read().splits == {"test": 1, "train": 1}
    assert learned() == [("test/a.jpg", "", ("a pup",)), ("train/a.jpg", "", ("a dog",))]


@pytest.mark.parametrize("name", ["val.jsonl", "rows_valid.jsonl", "my-validation.jsonl", "dev.jsonl"])
def test_file_for_each_split(folder, name):
    folder.images("a.jpg", "b.jpg").write("train.jsonl", lines({"image": "a.jpg", "caption": "x"}))
    folder.write(name, lines({"image": "b.jpg", "caption": "y"}, {"image": "b.jpg", "caption": "z", "split": "test"}))
    source = folder.read()
    assert source.splits == {"dev": 1, "train": 1, "test": 1}
    assert source.form == "JSON Lines in 2 files"


def test_file_that_is_named_alone_is_not_split_by_its_name(folder):
    folder.images("a.jpg").write("val.jsonl", lines({"image": "a.jpg", "caption": "x"}))
    assert folder.read("val.jsonl").splits == folder.read().splits == {"train": 1}


def test_numbered_files_are_parts_of_one_list(folder, learned):
    folder.images("a.jpg", "b.jpg")
    for number, image in enumerate(("a", "b")):
        folder.write(f"part-{number:05}-of-00002.jsonl", lines({"image": f"{image}.jpg", "caption": "x"}))
    assert [image for image, *_ in learned()] == ["a.jpg", "b.jpg"]


def test_own_log_is_no_list(folder, learned):
    folder.images("a.jpg").write("metrics.jsonl", lines({"step": 1, "loss": 3.0}))
    folder.write("tokenizer.json", {"model": {}})
    folder.write("processor.json", {"image": {"size": 3}, "prompt": {"caption": "describe"}})
    folder.write("a.txt", "a dog")
    assert learned() == [("a.jpg", "", ("a dog",))]
    folder.write("rows.jsonl", lines({"image": "a.jpg", "caption": "a pup"}))
    folder.write("losses.csv", "step,loss\n1,3.0\n")
    assert learned() == [("a.jpg", "", ("a pup",))]


def test_lists_that_do_not_belong_together_are_named(folder):
    for name in ("a.jsonl", "b.jsonl"):
        folder.write(name, lines({"image": "a.jpg", "caption": "x"}))
    with pytest.raises(ValueError, match=r"holds 2 lists, a.jsonl, b.jsonl; give the path of one"):
        folder.read()


def test_list_in_a_folder_of_annotations(folder, learned):
    folder.images("images/a.jpg").write("annotations/rows.jsonl", lines({"image": "a.jpg", "caption": "x"}))
    assert learned() == [("images/a.jpg", "", ("x",))]


def test_folder_of_something_else_is_named_by_what_it_holds(folder):
    folder.write("notes.md", "x")
    folder.write("src/a.py", "x")
    with pytest.raises(ValueError, match=r"holds nothing that is read, but notes.md, src/; .*docs/data.md"):
        folder.read()
