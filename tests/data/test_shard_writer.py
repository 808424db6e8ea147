import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from ojito.data import DataError, read_source
from ojito.data.shard_writer import write_shards
from ojito.data.source import Source
from ojito.records import Sample, Turn

ROWS = [
    {"image": "a.png", "captions": ["a red kite", "eine Drachenschnur, größer"]},
    {"image": "b.png", "caption": "two\nlines"},
    {"image": "a.png", "question": "what?", "answers": ["a kite", "kites"], "kind": "object"},
    {"image": ["a.png", "b.png"], "question": "<image> or <image>?", "answer": "both"},
    {"image": "b.png", "conversations": [
        {"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a dog"},
        {"from": "human", "value": "sure?"}, {"from": "gpt", "value": "yes"}], "system": "be brief"},
    {"image": "b.png", "texts": [{"user": "x", "assistant": "y", "source": s} for s in ("one", "two")]},
    {"image": "b.png", "label": "dog"},
    {"question": "hi?", "answer": "hello"},
]  # fmt: skip


@pytest.fixture
def rows(tmp_path):
    """Writes rows, and returns them as a source."""
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)

    def rows(*values, **options):
        (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in values), encoding="utf-8")
        return read_source(tmp_path / "rows.jsonl", **{"pack": True, **options})

    return rows


def write(source, folder, size=2**20, max_bad=0.0, **options):
    return write_shards(source, folder, size, max_bad, **options)


def seen(source, split):
    return [
        (row.turns, row.system, row.chat, [i.read_bytes() if isinstance(i, Path) else i.read() for i in row.images])
        for row in source.samples(split)
    ]


@pytest.mark.parametrize("rows_mb", [0, 64])
@pytest.mark.parametrize("read_mb", [0, 64])
def test_shards_hold_what_the_data_hold(rows, tmp_path, monkeypatch, rows_mb, read_mb):
    monkeypatch.setenv("OJITO_CACHE", str(tmp_path / "cache"))
    source = rows(*ROWS, *({**row, "split": "val"} for row in ROWS), rows_mb=rows_mb)
    packed = write(source, tmp_path / "out")
    again = read_source(tmp_path / "out", pack=True, rows_mb=read_mb)
    assert type(again).__name__ == ("Source" if read_mb else "IndexedSource")
    assert packed.rows == sum(source.splits.values())
    assert packed.problems == ()
    assert again.splits == source.splits
    if rows_mb or not read_mb:  # else rows about one image are joined that were not
        assert [seen(again, split) for split in source.splits] == [seen(source, split) for split in source.splits]


def test_webdataset_finds_its_members(rows, tmp_path):
    write(rows(*ROWS[1:3], {"image": "b.png", "caption": "x", "split": "dev"}, *ROWS[3:4]), tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "dev-000000.tar") as archive:
        assert archive.getnames() == ["000000003.txt", "000000003.png"]
        assert archive.extractfile("000000003.png").read() == (tmp_path / "b.png").read_bytes()
        assert archive.extractfile("000000003.txt").read() == b"x"
        assert {(member.mtime, member.uid, member.mode) for member in archive} == {(0, 0, 0o644)}
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        assert archive.getnames()[4:] == ["000000002.json", "000000002.0.png", "000000002.1.png"]
        assert json.load(archive.extractfile("000000000.json")) == {"captions": ["two\nlines"]}


def test_listing_says_size_and_digest_of_every_shard(rows, tmp_path):
    packed = write(rows(*ROWS), tmp_path / "out", size=16384)
    listed = json.loads((tmp_path / "out" / "shards.json").read_text())["shards"]
    assert len(listed) == len(packed.shards) > 1
    for shard in listed:
        content = (tmp_path / "out" / shard["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
    names = {s["file"] + suffix for s in listed for suffix in ("", ".index")} | {"shards.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_size_of_a_shard_is_kept(rows, tmp_path):
    source = rows(*({"question": f"{n}?", "answer": "x" * 9000} for n in range(12)))
    packed = write(source, tmp_path / "out", size=40960)
    assert {shard.rows for shard in packed.shards} == {3}
    assert all(shard.bytes <= 40960 for shard in packed.shards)
    (only,) = write(source, tmp_path / "one").shards
    assert only.rows == 12
    assert len(write(source, tmp_path / "each", size=1).shards) == 12


def test_data_without_splits_stay_without(rows, tmp_path):
    packed = write(rows(*ROWS), tmp_path / "out", size=16384)
    assert packed.shards[0].file == "data-000000.tar"
    assert {row.split for row in read_source(tmp_path / "out").rows} == {""}


@pytest.mark.parametrize("listing", [True, False])
def test_split_with_a_name_of_its_own_is_kept(rows, tmp_path, listing):
    write(rows({**ROWS[0], "split": "odd/one"}, {**ROWS[1], "split": "train"}, ROWS[2]), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["odd_one-000000.tar", "train-000000.tar"]
    if listing:
        assert read_source(tmp_path / "out").splits == {"odd/one": 1, "train": 2}
    else:
        assert read_source(tmp_path / "out" / "odd_one-000000.tar").splits == {"odd/one": 1}


def test_folder_that_holds_something_is_refused_and_shards_are_replaced_only_if_asked(rows, tmp_path):
    out = tmp_path / "out"
    write(rows(*ROWS), out, size=16384)
    with pytest.raises(
        DataError, match="out: holds shards already; choose another folder, or replace them with --force"
    ):
        write(rows(ROWS[0]), out)
    assert write(rows(ROWS[0]), out, force=True).rows == 1
    assert sorted(path.name for path in out.iterdir()) == ["data-000000.tar", "data-000000.tar.index", "shards.json"]
    (out / "mine.txt").touch()
    with pytest.raises(DataError, match=r"out: holds mine.txt; give a new or an empty folder"):
        write(rows(ROWS[0]), out, force=True)
    with pytest.raises(DataError, match=r"mine.txt: is a file; give a folder"):
        write(rows(ROWS[0]), out / "mine.txt")


def test_disk_that_fails_leaves_the_shards_of_before(rows, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(rows(*ROWS[:2]), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for folder in (out, tmp_path / "new"):
        with pytest.raises(DataError, match=r"cannot be written \(No space left on device\); free the disk"):
            write(rows(*ROWS), folder, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (tmp_path / "new").exists()


def test_bad_rows_are_left_out_up_to_the_budget(rows, tmp_path):
    source = rows(*ROWS)
    (tmp_path / "b.png").write_bytes(b"no image")
    packed = write(source, tmp_path / "out", max_bad=0.9)
    assert packed.rows == 2
    assert all("b.png: is not an image" in problem for problem in packed.problems)
    with pytest.raises(DataError, match=r"rows are bad, more than data.max_bad=0.1 allows"):
        write(source, tmp_path / "other", max_bad=0.1)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="holds no row that can be written"):
        write(Source("rows", source.rows[:1]), tmp_path / "none", max_bad=1)


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (Sample([Image.new("RGB", (1, 1))], turns=(Turn("", ("x",), "caption"),)), "is in memory, and no file"),
        (Sample(turns=(Turn("a?", ()),)), "cannot be written: answers is an empty list"),
        (
            Sample(turns=(Turn("a?", ("x", "y")), Turn("b?", ("x",))), chat=True),
            "turns that one row cannot hold together",
        ),
    ],
)
def test_sample_that_cannot_be_written_is_named(tmp_path, sample, says):
    packed = write(Source("mine", [Sample(turns=(Turn("q?", ("a",)),)), sample]), tmp_path / "out", max_bad=0.5)
    assert says in packed.problems[0]


def test_progress_is_told_in_rows(rows, tmp_path):
    told = []
    write(rows(*ROWS), tmp_path / "out", progress=lambda *of: told.append(of))
    assert told == [(n, len(told)) for n in range(1, len(told) + 1)]
