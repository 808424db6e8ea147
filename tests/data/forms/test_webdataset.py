import io
import json
import os
import tarfile

import pytest
from PIL import Image

from ojito.processor.images import open_image


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def pack(folder):
    def pack(members, name="train.tar", mode="w"):
        with tarfile.open(folder.path / name, mode) as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                content = content if isinstance(content, bytes) else content.encode()
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return folder.path / name

    return pack


def test_members_of_one_name_are_a_row_and_images_are_read_in_place(folder, pack):
    pack({"a/1.png": png(RED), "a/1.txt": "a red one\nall red\n", "a/2.txt": "a blue one", "a/2.png": png(BLUE)})
    rows = folder.read("train.tar").rows
    assert [row.turns[0].answers for row in rows] == [("a red one", "all red"), ("a blue one",)]
    assert [open_image(row.images[0]).getpixel((0, 0)) for row in rows] == [RED, BLUE]
    assert [str(row.images[0]) for row in rows] == [f"{folder.path}/train.tar/a/{n}.png" for n in (1, 2)]
    assert [row.origin for row in rows] == ["train.tar/a/1", "train.tar/a/2"]


@pytest.mark.parametrize(
    ("members", "turn"),
    [
        ({"1.cls": "7"}, ("what is it?", ("7",))),
        ({"1.json": json.dumps({"question": "what?", "answer": "red", "url": "http://x"})}, ("what?", ("red",))),
        ({"1.json": json.dumps({"caption": "old", "image": "gone.jpg"}), "1.txt": "new"}, ("", ("new",))),
    ],
)
def test_texts_of_a_member(folder, pack, members, turn):
    pack({"1.png": png(RED), **members})
    ((found,),) = [row.turns for row in folder.read("train.tar").rows]
    assert (found.prompt, found.answers) == turn


def test_shards_of_a_folder_are_read_together(folder, pack):
    for number in range(2):
        pack({"1.png": png((number, 0, 0)), "1.txt": "x"}, f"{number:05}.tar")
    assert len(folder.read().rows) == 2


def test_bad_members_are_bad_rows(folder, pack):
    pack({"1.png": png(RED), "1.txt": "x", "2.png": png(RED), "3.json": "{", "3.png": png(RED), "4.txt": b"\xff"})
    source = folder.read("train.tar", max_bad=0.9)
    assert [problem.split(";")[0] for problem in source.problems] == [
        "train.tar/2: has no caption, question, qa or conversations",
        "train.tar/3: has a .json that is not JSON",
        "train.tar/4: 4.txt is not UTF-8 text",
    ]


def test_packed_archive_is_refused_with_what_to_do(folder, pack):
    pack({"1.png": png(RED), "1.txt": "x"}, "train.tar.gz", "w:gz")
    with pytest.raises(ValueError, match=r"is packed by gzip, and images are read in place; unpack it to a plain .tar"):
        folder.read("train.tar.gz")


def test_archive_that_is_cut_off_is_named(folder, pack):
    path = pack({"1.png": png(RED), "1.txt": "x" * 2000})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"train.tar: .*tar archive"):
        folder.read("train.tar")


def test_archive_that_is_gone_is_a_bad_image(folder, pack):
    path = pack({"1.png": png(RED), "1.txt": "x"})
    (row,) = folder.read("train.tar").rows
    path.unlink()
    with pytest.raises(ValueError, match=r"train.tar/1.png: cannot be read \(No such file"):
        open_image(row.images[0])


@pytest.fixture
def indexed(folder, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("OJITO_CACHE", str(tmp_path_factory.mktemp("cache")))
    return lambda name="", **options: folder.read(name, rows_mb=0, **options)


LONG = "a/" + "x" * 120  # a name that takes blocks of its own
MEMBERS = {
    f"{LONG}.png": png(RED), f"{LONG}.txt": "a red one\nall red\n", "2.txt": "a blue one", "2.png": png(BLUE),
    "3.json": json.dumps({"caption": "x", "question": "what?", "answer": "blue", "split": "val"}), "3.png": png(BLUE),
    "4.cls": "7", "4.png": png(RED), "5.0.png": png(RED), "5.1.png": png(BLUE), "5.txt": "both",
}  # fmt: skip


@pytest.mark.parametrize("pack_rows", [True, False])
def test_rows_of_an_index_are_those_of_the_whole_archive(folder, pack, indexed, pack_rows):
    pack(MEMBERS)
    whole, found = folder.read("train.tar", pack=pack_rows), indexed("train.tar", pack=pack_rows)
    assert type(found).__name__ == "IndexedSource"
    assert found.splits == whole.splits
    for split in whole.splits:
        assert [*found.samples(split)] == whole.samples(split)
    assert [open_image(image).getpixel((0, 0)) for image in found.rows[-1].images] == [RED, BLUE]


def test_shards_of_a_folder_are_one_table(folder, pack, indexed):
    for number in range(3):
        pack({"1.txt": f"{number}", "1.png": png(RED), "2.txt": "y", "2.png": png(RED)}, f"{number:05}.tar")
    rows = indexed().samples("train")
    assert [row.origin for row in rows] == [f"{number:05}.tar/{row}" for number in range(3) for row in (1, 2)]
    assert [row.turns[0].answers for row in rows][::2] == [("0",), ("1",), ("2",)]


def test_bad_members_are_bad_rows_of_an_index(folder, pack, indexed):
    pack({"1.png": png(RED), "1.txt": "x", "2.png": png(RED), "3.json": "{", "3.png": png(RED), "4.txt": b"\xff"})
    assert indexed("train.tar", max_bad=0.9).problems == folder.read("train.tar", max_bad=0.9).problems


@pytest.mark.parametrize("read", ["whole", "indexed"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:1024], r"is cut off after 1: a tar archive ends with empty blocks"),
        (lambda content: content[:2048], r"is cut off after 2: "),
        (lambda content: content[:1100], r"is cut off after 1: "),
        (lambda content: content[:1600], r"cannot be read as a tar archive \(unexpected end of data\), after "),
        (lambda content: content[:1024] + b"#" * 512 + content[1536:], r"is damaged at byte 1,024, after 1"),
        (lambda content: b"#" * 512 + content, r"cannot be read as a tar archive \(.*\), after its beginning"),
    ],
)
def test_archive_that_is_not_whole_is_named_wherever_the_damage_is(folder, pack, indexed, read, damage, says):
    path = pack({"1.txt": "x", "2.txt": "y"})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"train.tar: {says}.*copy or write it again"):
        (indexed if read == "indexed" else folder.read)("train.tar", max_bad=1)


def test_row_that_is_damaged_under_its_index_is_a_bad_row(folder, pack, indexed, monkeypatch):
    path = pack({"1.txt": "x", "1.png": png(RED), "2.txt": "y", "2.png": png(RED)})
    about = path.stat()
    rows = indexed("train.tar").rows
    content = bytearray(path.read_bytes())
    content[:512] = b"#" * 512
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert str(rows[0].problem) == "train.tar row 1: is damaged; write the archive again"
    assert rows[1].turns[0].answers == ("y",)
