import json

import pytest

from ojito.data import DataError
from ojito.data.shards import listed_shards


def listing(folder, *shards, **more):
    (folder / "shards.json").write_text(json.dumps({"form": "WebDataset", "shards": [*shards], **more}))


def test_shards_that_are_listed_are_those_of_the_folder_with_their_splits(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"123")
    listing(tmp_path, {"file": "a.tar", "bytes": 3, "split": "odd"})
    assert listed_shards(tmp_path) == [(tmp_path / "a.tar", "odd")]


def test_shard_that_is_missing_or_of_another_size_is_named(tmp_path):
    listing(tmp_path, {"file": "a.tar", "bytes": 3})
    with pytest.raises(DataError, match=r"a.tar: is not there, and shards.json names it; copy it again"):
        listed_shards(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"12")
    with pytest.raises(DataError, match=r"a.tar: has 2 bytes, and shards.json says 3; copy it again"):
        listed_shards(tmp_path)


@pytest.mark.parametrize(
    "shard",
    [{"file": "../a.tar", "bytes": 1}, {"file": "a.tar"}, {"file": 3, "bytes": 1}, 7, {"file": "a", "bytes": "1"}],
)
def test_listing_that_is_none_is_refused(tmp_path, shard):
    listing(tmp_path, shard)
    with pytest.raises(DataError, match=r"shards.json: does not list shards as `ojito pack-data` does"):
        listed_shards(tmp_path)


def test_listing_of_another_tool_and_none_are_no_matter(tmp_path):
    assert listed_shards(tmp_path) == []
    (tmp_path / "shards.json").write_text('{"shards": 3}')
    assert listed_shards(tmp_path) == []
    (tmp_path / "shards.json").write_text("{")
    with pytest.raises(DataError, match="does not list shards"):
        listed_shards(tmp_path)
