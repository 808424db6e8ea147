"""Downloads that are stopped, damaged or without room: what is there is kept, and nothing else is put in place."""

import shutil

import pytest

from ojito.hub import transfer as hub_transfer
from ojito.hub.download import download
from tests.hub.owl import MODEL, NAME, WEIGHTS, contents, failure, set_large, tree
from tests.hub.server import reply, sha256

# ------------------------------------------------------------------------------------------------------------- the line


def test_download_that_was_stopped_goes_on_in_a_later_process(hub, cache):
    def stop(done, total):
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(NAME, stop)
    (part,) = (cache / "models--owl--eyes-3b" / "blobs").glob("*.incomplete")
    have = part.stat().st_size
    assert 0 < have < len(WEIGHTS)
    hub.asked.clear()
    seen = []
    assert contents(download(NAME, lambda done, total: seen.append(done))) == MODEL
    assert [headers.get("Range") for headers in hub.headers("model.safetensors")] == [f"bytes={have}-"]
    assert seen[0] >= have
    assert not list(cache.rglob("*.incomplete"))


def test_line_that_breaks_is_taken_up_again(hub):
    hub.stops[sha256(WEIGHTS)] = [100_000, 100_000]
    assert contents(download(NAME)) == MODEL
    first, *others = [headers.get("Range") for headers in hub.headers("model.safetensors")]
    assert first is None
    assert others == ["bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize(("file", "stop"), [(sha256(WEIGHTS), 100_000), ("tokenizer.json", 1500)])
def test_server_that_cannot_go_on_sends_all_again(hub, file, stop):
    hub.ranges = False
    hub.stops[file] = [stop]
    assert contents(download(NAME)) == MODEL


def test_server_that_always_breaks_at_the_same_place_is_given_up(hub):
    hub.ranges = False
    hub.stops[sha256(WEIGHTS)] = [1000] * 9
    assert "cannot be reached (no or a broken connection)" in failure()
    assert len(hub.headers("model.safetensors")) == 1 + 3


def test_server_that_is_busy_is_asked_again_and_a_byte_renews_the_patience(hub):
    busy = iter([503, 429, None, 503, 500, None])
    large = f"/large/{sha256(WEIGHTS)}"
    send = hub.send_bytes

    def answer(request):
        status = next(busy)
        if status:
            return reply(request, status)
        return send(request, sha256(WEIGHTS), WEIGHTS)

    hub.stops[sha256(WEIGHTS)] = [1000]
    hub.refuses[large] = answer
    assert contents(download(NAME)) == MODEL
    assert next(busy, "all used") == "all used"


def test_waits_between_attempts_are_those_of_the_module(hub, monkeypatch):
    waited = []
    monkeypatch.setattr(hub_transfer, "PAUSES", (3.0, 5.0))
    monkeypatch.setattr(hub_transfer.time, "sleep", waited.append)
    hub.refuses["/large/"] = (503, None)
    assert "answers with status 503; try again later" in failure()
    assert waited == [3.0, 5.0]


def test_content_that_was_changed_on_the_way_is_not_put_in_place(hub, cache):
    changed = WEIGHTS[:-1] + b"!"
    hub.refuses["/large/"] = lambda request: reply(request, 200, changed)
    assert "model.safetensors of owl/eyes-3b: came damaged: its hash is not" in failure()
    assert not [path for path in tree(cache) if sha256(WEIGHTS) in path and not path.endswith(".lock")]
    hub.refuses.clear()
    assert contents(download(NAME)) == MODEL


def test_content_without_end_is_cut_off(hub):
    sent = []

    def endless(request):
        request.send_response(200)
        request.end_headers()
        try:
            while len(sent) < 1000:
                request.wfile.write(WEIGHTS)
                sent.append(1)
        except OSError:
            pass
        request.close_connection = True

    hub.refuses["/large/"] = endless
    assert "came damaged" in failure()
    assert len(sent) < 1000


def test_file_that_was_cut_in_the_cache_is_fetched_again(hub, cache):
    download(NAME)
    (cache / "models--owl--eyes-3b" / "blobs" / sha256(WEIGHTS)).write_bytes(WEIGHTS[:7])
    assert contents(download(NAME)) == MODEL


# ------------------------------------------------------------------------------------------------------------- the disk


def test_too_little_room_is_told_before_the_weights_are_fetched(hub, cache, monkeypatch):
    hub.lies = lambda listing: set_large(listing, size=3 * 2**30)
    usage = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert failure() == (
        f"{NAME}: needs 3.0 GiB more, and 1.0 GiB are free for {cache}; free the disk, or set HF_HOME to another folder"
    )
    assert hub.paths == [f"/api/models/{NAME}/revision/main", "config.json", "tokenizer.json"]


def test_what_is_there_needs_no_room(hub, monkeypatch):
    hub.stops[sha256(WEIGHTS)] = [len(WEIGHTS) - 1000] + [0] * 9
    failure()
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    hub.stops.clear()
    assert contents(download(NAME)) == MODEL


def test_disk_that_fills_up_is_an_error_and_the_beginning_is_kept(hub, cache, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hub_transfer.os, "fsync", full)
        assert "eyes-3b: cannot be written (No space left on device); free the disk, or set HF_HOME" in failure()
    assert list(cache.rglob("*.incomplete"))
    assert contents(download(NAME)) == MODEL


def test_cache_that_cannot_be_made_is_an_error(hub, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    assert "cannot be written (Not a directory)" in failure()
