"""A Hub that lies: nothing is written outside the cache, and nothing wrong inside."""

import pytest

from ojito.hub.download import download
from ojito.hub.transfer import HubError
from tests.hub.owl import (
    FIRST,
    MODEL,
    NAME,
    SECOND,
    SHARDS,
    WEIGHTS,
    contents,
    failure,
    set_first,
    set_large,
    tree,
)
from tests.hub.server import git_hash, reply, sha256


@pytest.mark.parametrize(
    "answer",
    [b"<html>Welcome to the hotel</html>", b"", b"[]", b"{}", b"[" * 100_000, b'{"sha": 1, "siblings": []}',
     b'{"sha": "' + b"1" * 40 + b'", "siblings": [{}]}',
     b'{"sha": "' + b"1" * 40 + b'", "siblings": [{"rfilename": 1}]}'],
)  # fmt: skip
def test_answer_that_is_not_the_hubs_is_an_error(hub, answer):
    hub.refuses["/api"] = lambda request: reply(request, 200, answer)
    assert f"{hub.url}: answers, but not as the Hugging Face Hub; check HF_ENDPOINT" in failure()


def entry(name, **changes):
    return {"rfilename": name, "size": 4, "blobId": git_hash(b"evil"), **changes}


def renamed(listing, name):
    listing["siblings"].append(entry(name))


def set_commit(listing, commit):
    listing["sha"] = commit


UP = "../" * 9
LIES = {
    "name up": lambda listing: renamed(listing, "../evil.safetensors"),
    "name up and known": lambda listing: renamed(listing, "../config.json"),
    "name from the root": lambda listing: renamed(listing, "/tmp/evil.safetensors"),
    "name on Windows": lambda listing: renamed(listing, "..\\evil.safetensors"),
    "name with a drive": lambda listing: renamed(listing, "c:evil.safetensors"),
    "name of a folder": lambda listing: renamed(listing, ".."),
    "commit up": lambda listing: set_commit(listing, UP + "evil"),
    "commit with a line": lambda listing: set_commit(listing, FIRST + "\n"),
    "hash up": lambda listing: set_first(listing, blobId=UP + "evil"),
    "hash from the root": lambda listing: set_first(listing, blobId="/tmp/evil"),
    "large hash up": lambda listing: set_large(listing, sha256=UP + "evil"),
    "another hash": lambda listing: set_large(listing, sha256="0" * 64),
    "size below nothing": lambda listing: set_first(listing, size=-1),
    "size that is none": lambda listing: set_first(listing, size="4"),
    "size that is smaller": lambda listing: set_first(listing, size=3),
    "size beyond any disk": lambda listing: set_large(listing, size=2**62),
    "size beyond any text": lambda listing: set_first(listing, size=2**30),
}


def test_commit_that_was_asked_for_is_the_one_that_comes(hub):
    hub.lies = lambda listing: set_commit(listing, SECOND)
    hub.commits[NAME][SECOND] = MODEL
    assert "not as the Hugging Face Hub" in failure(f"{NAME}@{FIRST}")


@pytest.mark.parametrize("lie", LIES)
def test_server_that_lies_writes_nothing_outside_and_nothing_wrong(hub, cache, tmp_path, lie):
    hub.lies = LIES[lie]
    before = tree(tmp_path)
    try:
        folder = download(NAME)
    except HubError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert contents(folder) == MODEL
    home = cache / "models--owl--eyes-3b"
    for path in tree(tmp_path) - before:
        assert (cache / ".locks") in (tmp_path / path).parents or home in (tmp_path / path).parents
    known = {git_hash(content) for content in MODEL.values()} | {sha256(WEIGHTS)}
    assert {path.name for path in home.glob("blobs/*") if path.suffix != ".incomplete"} <= known
    assert not any("evil" in path for path in tree(tmp_path))


@pytest.mark.parametrize(
    "index",
    [b"{", b"[]", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 1}}', b'{"weight_map": {"a": [1]}}', b"\xff",
     b'{"weight_map": {"a": "../evil.safetensors"}}', b'{"weight_map": {"a": "/evil.safetensors"}}',
     b'{"weight_map": {"a": "evil.bin"}}'],
)  # fmt: skip
def test_index_that_is_wrong_is_an_error(hub, index):
    hub.commits[NAME][FIRST] = {**SHARDS, "model.safetensors.index.json": index, "evil.bin": b"x"}
    assert "model.safetensors.index.json: does not list files of weights" in failure()
    assert set(hub.paths) == {f"/api/models/{NAME}/revision/main", "model.safetensors.index.json"}


def test_index_that_is_too_large_is_not_fetched(hub):
    hub.commits[NAME][FIRST] = SHARDS
    hub.lies = lambda listing: listing["siblings"][1].update(size=65 * 2**20)
    assert "model.safetensors.index.json has 68157440 bytes, more than 67108864; choose another model" in failure()
    assert len(hub.paths) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"x"}, "has no config.json, so it is no model that Ojito can load"),
        ({"model-Q4_K_M.gguf": b"x"}, "has no config.json and has its weights as GGUF, of which Ojito fetches none"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "holds an adapter, and not its model"),
        ({"adapter_config.json": b"{}", "config.json": b"{}"}, "holds an adapter, and not its model; download its"),
        ({**MODEL, "adapter_config.json": b"{}"}, "holds an adapter beside its model; download its files"),
        ({**SHARDS, "adapter_config.json": b"{}"}, "holds an adapter beside its model; download its files"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "has no model.safetensors, and Ojito reads weights as"),
        ({k: v for k, v in SHARDS.items() if "00002-" not in k}, "has no model-00002-of-00002.safetensors, and"),
    ],
)
def test_repository_that_is_no_model_is_an_error_before_anything_large_is_fetched(hub, files, message):
    hub.commits[NAME][FIRST] = files
    assert f"{hub.url}/{NAME}: {message}" in failure()
    assert not [path for path in hub.paths if path.endswith((".safetensors", ".bin"))]


def test_settings_that_are_too_large_are_not_fetched(hub):
    hub.lies = lambda listing: set_first(listing, size=65 * 2**20)
    assert "config.json has 68157440 bytes, more than 67108864; choose another model" in failure()
    assert len(hub.paths) == 1
