"""The files of a folder that may come from anywhere: which are read, and what is said of the others."""

import os
import pickle

import pytest

from ojito.checkpoint.files import MAX_JSON, CheckpointError, find_file, read_json

HASH = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"a": 1}')
    return made


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")


def test_file_of_the_folder_is_found(folder):
    assert find_file(folder, "config.json") == folder / "config.json"
    assert find_file(str(folder), "config.json") == folder / "config.json"


@pytest.mark.parametrize("name", ["other.json", "x" * 300, "a\0b", ""])
def test_file_that_is_not_there_is_an_error(folder, name):
    with pytest.raises(CheckpointError, match=r"has no .*; give a folder that holds a model"):
        find_file(folder, name)


def test_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        find_file(tmp_path / "gone", "config.json")


def test_folder_in_place_of_a_file_is_an_error(folder):
    (folder / "sub.json").mkdir()
    with pytest.raises(CheckpointError, match=r"has no sub\.json"):
        find_file(folder, "sub.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_in_place_of_a_file_is_refused_instead_of_waited_for(folder):
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(CheckpointError, match=r"has no pipe\.json"):
        read_json(folder, "pipe.json")


def test_file_that_may_not_be_read_is_an_error(folder):
    (folder / "config.json").chmod(0)
    if os.access(folder / "config.json", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(CheckpointError, match=r"config\.json: may not be read; allow it"):
        find_file(folder, "config.json")


def test_limit_decides_which_file_is_too_large(folder):
    assert find_file(folder, "config.json", limit=8)
    assert find_file(folder, "config.json", limit=None)
    with pytest.raises(CheckpointError, match=r"config\.json: has 8 bytes, more than 7; give"):
        find_file(folder, "config.json", limit=7)


# ---------------------------------------------------------------------------------------------------------------- links


def test_link_within_the_folder_is_followed(folder):
    (folder / "sub").mkdir()
    (folder / "config.json").rename(folder / "sub" / "real.json")
    link(folder / "config.json", "sub/real.json")
    assert read_json(folder, "config.json") == {"a": 1}


def test_link_to_the_folder_is_followed(folder, tmp_path):
    link(tmp_path / "link", folder)
    assert read_json(tmp_path / "link", "config.json") == {"a": 1}


@pytest.mark.parametrize("target", ["../outside.json", "sub/../../outside.json", "{}/outside.json"])
def test_link_out_of_the_folder_is_refused(folder, tmp_path, target):
    (tmp_path / "outside.json").write_text("{}")
    (folder / "sub").mkdir()
    link(folder / "out.json", target.format(tmp_path))
    with pytest.raises(CheckpointError, match="link to a place outside its folder; put the file itself there"):
        find_file(folder, "out.json")


def test_link_by_way_of_a_linked_folder_is_refused(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.json").write_text("{}")
    link(folder / "sub", tmp_path / "outside")
    link(folder / "out.json", "sub/x.json")
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(folder, "out.json")


def test_folder_whose_name_begins_alike_is_outside(folder, tmp_path):
    (tmp_path / "model2").mkdir()
    (tmp_path / "model2" / "x.json").write_text("{}")
    link(folder / "out.json", "../model2/x.json")
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(folder, "out.json")


def test_links_in_a_circle_are_an_error(folder):
    link(folder / "a.json", "b.json")
    link(folder / "b.json", "a.json")
    with pytest.raises(CheckpointError, match=r"has no a\.json"):
        find_file(folder, "a.json")


def cached(home, blob):
    """A folder as in the Hub's cache, whose config.json is a link to this blob."""
    snapshot = home / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    target = home / "blobs" / blob
    target.write_text("{}")
    link(snapshot / "config.json", os.path.relpath(target, snapshot))
    return snapshot


@pytest.mark.parametrize("blob", [HASH, HASH[:40]])
def test_snapshot_in_the_hubs_cache_may_link_to_its_blobs(tmp_path, blob):
    assert read_json(cached(tmp_path / "models--owl--eyes", blob), "config.json") == {}


@pytest.mark.parametrize(
    ("home", "blob"), [("models--owl--eyes", "secret.json"), ("models--owl--eyes", HASH[:39]), ("other", HASH)]
)
def test_what_only_looks_like_the_hubs_cache_is_refused(tmp_path, home, blob):
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(cached(tmp_path / home, blob), "config.json")


def shared(tmp_path, place):
    """The snapshot, whose blob is a link to this place in the cache."""
    snapshot = cached(tmp_path / "models--owl--eyes", HASH)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "blobs").mkdir(exist_ok=True)
    (tmp_path / "blobs" / ".huggingface-shared-blobs").write_text("1")
    blob = tmp_path / "models--owl--eyes" / "blobs" / HASH
    blob.rename(tmp_path / place)
    link(blob, tmp_path / place)
    return snapshot


def test_blob_may_be_one_that_all_models_of_the_cache_share(tmp_path):
    snapshot = shared(tmp_path, f"blobs/01/{HASH}")
    assert read_json(snapshot, "config.json") == {}
    (tmp_path / "blobs" / ".huggingface-shared-blobs").unlink()
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(snapshot, "config.json")


@pytest.mark.parametrize("place", ["blobs/02/" + HASH, "blobs/" + HASH, "blobs/01/secret", "other/01/" + HASH])
def test_blob_that_only_looks_like_a_shared_one_is_refused(tmp_path, place):
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(shared(tmp_path, place), "config.json")


def test_blob_that_is_itself_a_link_out_of_the_cache_is_refused(tmp_path):
    snapshot = cached(tmp_path / "models--owl--eyes", HASH)
    blob = tmp_path / "models--owl--eyes" / "blobs" / HASH
    blob.rename(tmp_path / HASH)
    link(blob, tmp_path / HASH)
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(snapshot, "config.json")


def test_snapshot_may_not_link_to_the_blobs_of_another_model(tmp_path):
    snapshot = cached(tmp_path / "models--owl--eyes", HASH)
    cached(tmp_path / "models--owl--other", HASH)
    (snapshot / "config.json").unlink()
    link(snapshot / "config.json", tmp_path / "models--owl--other" / "blobs" / HASH)
    with pytest.raises(CheckpointError, match="link to a place outside"):
        find_file(snapshot, "config.json")


# ----------------------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; copy it again"),
        (b"3 4", r"is not JSON: Extra data at line 1, column 3; mend it there, or copy it again"),
        (b"[]", "holds a list, not a mapping; copy it again"),
        (b"3", "holds a int, not a mapping"),
        (b"null", "holds a NoneType, not a mapping"),
    ],
)
def test_file_that_holds_no_mapping_is_an_error(folder, content, message):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"config\.json: {message}"):
        read_json(folder, "config.json")


def test_byte_order_mark_is_passed_over(folder):
    (folder / "config.json").write_bytes('{"a": "ü"}'.encode("utf-8-sig"))
    assert read_json(folder, "config.json") == {"a": "ü"}


# ------------------------------------------------------------------------------------------------------------ Git LFS

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{HASH}\nsize 17763458\n"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_pointer_of_git_lfs_is_called_so(folder, name):
    (folder / name).write_text(POINTER)
    with pytest.raises(CheckpointError, match=r"is a pointer of Git LFS, in place of the file; run `git lfs pull` in"):
        find_file(folder, name)


def test_text_about_git_lfs_is_no_pointer(folder):
    (folder / "config.json").write_text('{"a": "version https://git-lfs.github.com/spec/v1"}')
    assert find_file(folder, "config.json")
    (folder / "x.json").write_text(POINTER + " " * 2000)
    assert find_file(folder, "x.json")


def test_text_that_python_would_need_much_memory_for_is_not_read(folder):
    with (folder / "config.json").open("wb") as file:
        file.truncate(MAX_JSON + 1)
    with pytest.raises(CheckpointError, match=f"has {MAX_JSON + 1} bytes, more than {MAX_JSON}"):
        read_json(folder, "config.json")


# --------------------------------------------------------------------------------------------------------------- errors


def test_error_is_one_printable_line_whatever_it_quotes():
    message = str(CheckpointError("a\nb \x1b[2J \ud800 ü"))
    assert message == r"a\nb \x1b[2J \ud800 ü"


def test_long_error_keeps_its_beginning_and_its_remedy():
    message = str(CheckpointError(f"model.safetensors {'x' * 10**6}; copy it again"))
    assert len(message) < 2100
    assert message.startswith("model.safetensors x")
    assert message.endswith("x; copy it again")


def test_error_goes_through_a_process_unchanged():
    error = CheckpointError("a\nb; mend it")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
