"""The examples of docs/data.md, read as they stand there; and what is said about data of no form."""

import io
import re
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from ojito.data import DataError, read_source
from ojito.data.forms import FORMS, open_form

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(?:json|csv|text) (\S+)\n(.*?)^```$", TEXT, re.M | re.S)
TREES = re.findall(r"^```tree\n(.*?)^```$", TEXT, re.M | re.S)
SAMPLES = {
    "captions.jsonl": 7, "rows.json": 2, "annotations.jsonl": 3, "llava.json": 2, "messages.jsonl": 3,
    "cauldron.jsonl": 1, "captions.csv": 2, "questions.tsv": 1, "results.csv": 1, "Flickr8k.token.txt": 1,
    "metadata.csv": 2, "captions_train2014.json": 1, "instances.json": 1, "dataset_flickr8k.json": 2,
    "v2_OpenEnded_mscoco_train2014_questions.json": 1, "v2_mscoco_train2014_annotations.json": 1,
}  # fmt: skip
"""Samples of each example, with turns=chat."""


def image():
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "JPEG")
    return file.getvalue()


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("name", "content"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_is_read(tmp_path, name, content):
    for known in ("a.jpg", "b.jpg", "train2014/COCO_train2014_000000000009.jpg"):
        put(tmp_path, known, image())
    for beside, text in EXAMPLES:
        if beside.startswith("v2_"):
            put(tmp_path, beside, text)
    put(tmp_path, name, content)
    source = read_source(tmp_path / name, max_bad=0)
    assert len(source.rows) == SAMPLES[name]
    assert source.problems == source.notes == []


@pytest.mark.parametrize("tree", TREES)
def test_folder_of_the_page_is_read(tmp_path, tree):
    archives = {}
    for name in tree.split():
        content = image() if name.endswith("jpg") else b'{"caption": "x"}' if name.endswith("json") else b"a red kite"
        archive, inside, member = name.partition(".tar/")
        if inside:
            archives.setdefault(f"{archive}.tar", {})[member] = content
        else:
            put(tmp_path, name, content)
    for archive, members in archives.items():
        with tarfile.open(tmp_path / archive, "w") as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    source = read_source(tmp_path, max_bad=0)
    assert len(source.rows) == tree.count(".jpg")


def test_every_example_of_the_page_is_tried():
    assert sorted(name for name, _ in EXAMPLES) == sorted(SAMPLES)
    assert len(TREES) == 3


def test_links_of_the_page_lead_somewhere():
    headings = {line.lower().replace(" ", "-") for line in re.findall(r"^## (.+)$", TEXT, re.M)}
    assert {*re.findall(r"\]\(#([\w-]+)\)", TEXT)} <= headings
    for link in re.findall(r"\]\((?!#)([\w.]+)\)", TEXT):
        assert (PAGE.parent / link).exists()


def test_forms_have_names_of_their_own():
    assert len({form.name for form in FORMS}) == len(FORMS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{}", "is an object with the keys (none)"),
        ("a.json", "[1, 2", "is not JSON"),
        ("a.json", "", "is empty"),
        ("a.docx", "x", "is no list of rows; give one"),
        ("a.tsv", "one\ttwo\n", "begins with 'one\\ttwo', which is no table"),
    ],
)
def test_file_of_no_form_is_told_what_it_is(tmp_path, name, content, said):
    put(tmp_path, name, content)
    with pytest.raises(DataError) as error:
        open_form(tmp_path / name)
    assert said in str(error.value)
    assert "read are JSON Lines, JSON array, Karpathy JSON, COCO captions" in str(error.value)
