"""Models of a Hub that runs in a thread of the test: it speaks HTTP as the Hub does, and counts what it is asked."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub", reason="pip install 'ojito[hf]'")

from huggingface_hub import constants  # noqa: E402

from ojito.checkpoint import hub as module  # noqa: E402
from ojito.checkpoint.files import CheckpointError, find_file  # noqa: E402
from ojito.checkpoint.hub import HubError, download, is_hub_id  # noqa: E402

NAME = "owl/eyes-3b"
FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = bytes(range(256)) * 2000
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
MODEL = {"config.json": b'{"model_type": "owl"}', "tokenizer.json": b"{}" * 900, "model.safetensors": WEIGHTS}
SHARDS = {
    "config.json": b"{}",
    "model.safetensors.index.json": INDEX.encode(),
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[:5000],
}
TOKEN = "hf_secretsecretsecret"


class Hub:
    """What this Hub holds, how it behaves, and what it was asked.

    Attributes:
        commits: Name to commit to file to content.
        branches: Name to branch or tag to commit.
        lies: Changes to what the Hub lists: a function of the listing.
        stops: How many bytes of which file it sends before it hangs up; a list, an item a request.
        refuses: Beginning of a path to (status, error code) or to a function that answers for itself.
        ranges: Whether it goes on in the middle of a file.
        asked: Method, path and headers of each request, without those of huggingface_hub's own.
    """

    def __init__(self):
        self.commits, self.branches = {NAME: {FIRST: dict(MODEL)}}, {NAME: {"main": FIRST}}
        self.lies, self.stops, self.refuses, self.ranges = lambda listing: None, {}, {}, True
        self.asked = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        path = unquote(urlsplit(request.path).path)
        if path == "/api/agent-harnesses":
            return reply(request, 404)
        self.asked.append((request.command, path, dict(request.headers)))
        for beginning, refusal in self.refuses.items():
            if path.startswith(beginning):
                return refusal(request) if callable(refusal) else reply(request, refusal[0], code=refusal[1])
        if listed := re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path):
            return self.list(request, *listed.groups())
        if file := re.fullmatch(r"/(.+?)/resolve/(.+?)/(.+)", path):
            return self.send(request, *file.groups())
        if large := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            contents = (c for commits in self.commits.values() for files in commits.values() for c in files.values())
            content = next(c for c in contents if hashlib.sha256(c).hexdigest() == large[1])
            return self.send_bytes(request, large[1], content)
        return reply(request, 404)

    def list(self, request, name, revision):
        if name not in self.commits:
            return reply(request, 401, code="RepoNotFound")
        commit = self.branches[name].get(revision, revision)
        if commit not in self.commits[name]:
            return reply(request, 404, code="RevisionNotFound")
        listing = {"id": name, "sha": commit, "siblings": []}
        for file, content in self.commits[name][commit].items():
            entry = {"rfilename": file, "size": len(content), "blobId": git_hash(content)}
            if file.endswith((".safetensors", ".bin")):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            listing["siblings"].append(entry)
        self.lies(listing)
        return reply(request, 200, json.dumps(listing).encode())

    def send(self, request, name, revision, file):
        commit = self.branches[name].get(revision, revision)
        content = self.commits[name][commit].get(file)
        if content is None:
            return reply(request, 404, code="EntryNotFound")
        large = file.endswith((".safetensors", ".bin"))
        digest = hashlib.sha256(content).hexdigest() if large else git_hash(content)
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": len(content), "X-Linked-Etag": f'"{digest}"'}
        if large:  # another host has the large files
            return reply(request, 302, Location=f"http://localhost:{self.server.server_port}/large/{digest}", **headers)
        return self.send_bytes(request, file, content, **headers)

    def send_bytes(self, request, file, content, **headers):
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest() if len(file) == 64 else git_hash(content)}"'
        start = 0
        if self.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        stops = self.stops.get(file)
        stop = stops.pop(0) if stops else None
        return reply(request, 206 if start else 200, content[start:], stop=stop, **headers)

    @property
    def paths(self):
        """Those asked with GET since the last look, each file without what stands before its name."""
        paths = [path.rpartition("/")[2] if "/resolve/" in path else path for _, path, _ in self.asked]
        self.asked.clear()
        return [path for path in paths if not path.startswith("/large/")]

    def headers(self, ending):
        return [headers for _, path, headers in self.asked if path.endswith(ending)]


def reply(request, status, content=b"", code=None, stop=None, **headers):
    request.send_response(status)
    if code:
        request.send_header("X-Error-Code", code)
    for key, value in {"Content-Length": len(content), **headers}.items():
        request.send_header(key, str(value))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content[:stop])
    if stop is not None:
        request.wfile.flush()
        request.close_connection = True


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def _ours(host):
    if host not in ("127.0.0.1", "localhost"):
        pytest.fail(f"a test wanted to reach {host}")
    return host


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, no token, and no way out of this machine."""
    for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kw: resolve(_ours(host), *args, **kw))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    return tmp_path / "home" / "hub"


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"  # made of the endpoint when it was imported
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield hub
    hub.close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def failure(name=NAME):
    """What a user reads; one line."""
    with pytest.raises(HubError) as caught:
        download(name)
    assert isinstance(caught.value, CheckpointError)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def no_links(*_):
    raise OSError(1314, "A required privilege is not held by the client")


# ------------------------------------------------------------------------------------------------------------------ ids


@pytest.mark.parametrize(
    "name",
    [NAME, "HuggingFaceTB/SmolLM2-135M", "a/b", "o_o/x.y", "google/paligemma-3b-pt-224@bfloat16", "a/b@refs/pr/1",
     f"a/b@{FIRST}", "a/b@v1.0", "a/b@my--branch", "a" * 96 + "/b"],
)  # fmt: skip
def test_name_with_owner_is_an_id(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    ["", "tiny", "./x", "../x", "/x", "x/", "/a/b", "a/b/c", "..", "~", "~/x", "~a/b", "a//b", "a\\b", "a/b.git",
     "a/..", "a/b--c", "a..a/b", ".a/b", "a/b.", "-a/b", "a/b-", "a b/c", "a/b\n", "a/ñ", "https://huggingface.co/a",
     "a:b/c", "a" * 97 + "/b", "a/b@", "a/b@../x", "a/b@/x", "a/b@x/", "a/b@x//y", "a/b@x/.y", "a/b@x y", "a@x/b",
     "a/b@x@y"],
)  # fmt: skip
def test_anything_else_is_no_id(name):
    assert not is_hub_id(name)
    with pytest.raises(ValueError, match="is no id of the Hugging Face Hub; write owner/name"):
        download(name)


# ------------------------------------------------------------------------------------------------------------- fetching


def test_model_is_fetched_whole(hub):
    folder = download(NAME)
    assert contents(folder) == MODEL
    assert folder.name == FIRST


def test_snapshot_is_read_like_any_folder(hub):
    folder = download(NAME)
    assert {name: find_file(folder, name, limit=None).read_bytes() for name in MODEL} == MODEL


def test_cache_is_laid_out_as_the_hubs_documentation_says(hub, cache):
    download(NAME)
    home = cache / "models--owl--eyes-3b"
    assert {p.name for p in (home / "blobs").iterdir()} == {
        git_hash(MODEL["config.json"]), git_hash(MODEL["tokenizer.json"]), sha256(WEIGHTS),
    }  # fmt: skip
    assert os.readlink(home / "snapshots" / FIRST / "model.safetensors") == f"../../blobs/{sha256(WEIGHTS)}"
    assert (home / "refs" / "main").read_text() == FIRST


def test_model_that_ojito_fetched_is_found_by_huggingface_hub(hub):
    folder = download(NAME)
    assert huggingface_hub.snapshot_download(NAME, local_files_only=True) == str(folder)
    hub.asked.clear()
    path = huggingface_hub.hf_hub_download(NAME, "model.safetensors")
    assert Path(path) == folder / "model.safetensors"
    assert {method for method, _, _ in hub.asked} == {"HEAD"}


def test_model_that_huggingface_hub_fetched_is_not_fetched_again(hub):
    for name in MODEL:
        huggingface_hub.hf_hub_download(NAME, name)
    hub.asked.clear()
    assert contents(download(NAME)) == MODEL
    assert hub.paths == [f"/api/models/{NAME}/revision/main"]


def test_content_that_all_repositories_share_is_not_fetched_again(hub, cache):
    folder = download(NAME)
    shared = cache / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    (cache / "blobs" / ".huggingface-shared-blobs").write_text("1\n")
    blob = cache / "models--owl--eyes-3b" / "blobs" / sha256(WEIGHTS)
    blob.rename(shared)
    blob.symlink_to(f"../../blobs/ab/{shared.name}")
    hub.asked.clear()
    assert find_file(download(NAME), "model.safetensors").resolve() == shared
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hub.paths) == 1


def test_file_that_another_revision_has_is_fetched_once(hub, cache):
    hub.commits[NAME][SECOND] = {**MODEL, "config.json": b'{"model_type": "eagle"}'}
    hub.branches[NAME]["next"] = SECOND
    first = download(NAME)
    hub.asked.clear()
    second = download(f"{NAME}@next")
    assert hub.paths == [f"/api/models/{NAME}/revision/next", "config.json"]
    assert contents(first) == MODEL
    assert contents(second) == hub.commits[NAME][SECOND]
    assert len(list((cache / "models--owl--eyes-3b" / "blobs").iterdir())) == 4


def test_branch_that_moved_is_followed(hub):
    download(NAME)
    hub.commits[NAME][SECOND] = {**MODEL, "config.json": b"{}"}
    hub.branches[NAME]["main"] = SECOND
    assert download(NAME).name == SECOND
    constants.HF_HUB_OFFLINE = True
    assert download(NAME).name == SECOND


@pytest.mark.parametrize("revision", [FIRST, "refs/pr/1", "v1.0"])
def test_revision_is_a_commit_a_tag_or_a_request(hub, revision):
    hub.branches[NAME] = {"main": SECOND, "refs/pr/1": FIRST, "v1.0": FIRST}
    assert download(f"{NAME}@{revision}").name == FIRST


@pytest.mark.parametrize(
    ("also", "wanted"),
    [
        ({"pytorch_model.bin": b"x", "modeling_owl.py": b"x", "model.gguf": b"x", "vae-oid.npz": b"x"}, []),
        ({"README.md": b"x", "tokenizer.model": b"x", ".gitattributes": b"x", "config.json.py": b"x"}, []),
        ({"consolidated.safetensors": b"x", "onnx/model.safetensors": b"x", "adapter_model.safetensors": b"x"}, []),
        ({"processor_config.json": b"{}", "special_tokens_map.json": b"{} "},
         ["processor_config.json", "special_tokens_map.json"]),
        ({"chat_template.jinja": b"x", "chat_template.json": b"y"}, ["chat_template.jinja", "chat_template.json"]),
        ({"processor.json": b"{}", "recipe.yaml": b"a: 1"}, ["processor.json", "recipe.yaml"]),
    ],
)  # fmt: skip
def test_only_what_loading_needs_is_asked_for(hub, also, wanted):
    hub.commits[NAME][FIRST].update(also)
    download(NAME)
    _, *files = hub.paths
    assert sorted(files) == sorted([*MODEL, *wanted])


def test_file_of_nothing_is_there(hub):
    hub.commits[NAME][FIRST]["added_tokens.json"] = b""
    assert contents(download(NAME))["added_tokens.json"] == b""


def test_shards_are_those_that_the_index_names(hub):
    hub.commits[NAME][FIRST] = {**SHARDS, "consolidated.safetensors": b"x", "model-00003.safetensors": b"x"}
    assert contents(download(NAME)) == SHARDS
    assert hub.paths.count("model.safetensors.index.json") == 1


def test_one_file_is_preferred_to_shards(hub):
    hub.commits[NAME][FIRST] = {**SHARDS, **MODEL}
    assert contents(download(NAME)) == MODEL


def test_progress_counts_bytes_up_to_the_whole_model(hub):
    hub.commits[NAME][FIRST] = SHARDS
    seen = []
    download(NAME, lambda done, total: seen.append((done, total)))
    total = sum(map(len, SHARDS.values()))
    assert {t for _, t in seen} == {total}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == total
    assert len({done for done, _ in seen}) > len(SHARDS)


def test_second_load_only_asks_which_commit_it_is(hub, cache):
    download(NAME)
    hub.asked.clear()
    before = {path: path.lstat().st_mtime_ns for path in cache.rglob("*")}
    assert contents(download(NAME, lambda *_: pytest.fail("something was fetched"))) == MODEL
    assert hub.paths == [f"/api/models/{NAME}/revision/main"]
    assert {path: path.lstat().st_mtime_ns for path in cache.rglob("*")} == before


@pytest.mark.parametrize("links", [True, False])
def test_those_that_load_at_once_fetch_each_file_once(hub, monkeypatch, links):
    if not links:
        monkeypatch.setattr(Path, "symlink_to", no_links)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: download(NAME), range(4)))
    assert [contents(folder) for folder in folders] == [MODEL]
    assert sorted(path for path in hub.paths if not path.startswith("/api")) == sorted(MODEL)


def test_without_links_the_files_stand_in_the_snapshot(hub, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", no_links)
    folder = download(NAME)
    assert contents(folder) == MODEL
    assert not any(path.is_symlink() for path in folder.iterdir())
    hub.asked.clear()
    download(NAME)
    assert len(hub.paths) == 1


# -------------------------------------------------------------------------------------------------------- interruptions


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
    monkeypatch.setattr(module, "PAUSES", (3.0, 5.0))
    monkeypatch.setattr(module.time, "sleep", waited.append)
    hub.refuses["/large/"] = (503, None)
    assert "answers with status 503; try again later" in failure()
    assert waited == [3.0, 5.0]


def test_content_that_was_changed_on_the_way_is_not_put_in_place(hub, cache):
    changed = WEIGHTS[:-1] + b"!"
    hub.refuses["/large/"] = lambda request: reply(request, 200, changed)
    assert "model.safetensors of owl/eyes-3b came damaged: its hash is not" in failure()
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


# -------------------------------------------------------------------------------------------------- without the network


def test_offline_the_cache_is_used_and_nobody_asked(hub, monkeypatch):
    folder = download(NAME)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(NAME) == download(f"{NAME}@{FIRST}") == folder
    assert not hub.asked


@pytest.mark.parametrize("files", [MODEL, SHARDS], ids=["one file", "shards"])
@pytest.mark.parametrize("lost", ["all", "refs/main", "config.json", "weights"])
def test_offline_a_model_that_is_not_whole_is_an_error(hub, cache, monkeypatch, files, lost):
    hub.commits[NAME][FIRST] = files
    if lost != "all":
        folder = download(NAME)
        weights = next(name for name in files if name.endswith(".safetensors"))
        (cache / "models--owl--eyes-3b" / lost if "/" in lost else folder / lost.replace("weights", weights)).unlink()
        hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = failure()
    assert said.startswith(f"{NAME}@main is not whole in {cache}, and HF_HUB_OFFLINE forbids")
    assert not hub.asked


def test_cache_is_used_where_the_hub_cannot_be_asked(hub, monkeypatch):
    folder = download(NAME)
    hub.refuses["/"] = (503, None)
    assert download(NAME) == folder
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert download(NAME) == folder


def test_cached_commit_that_is_none_is_not_followed(cache, tmp_path):
    (tmp_path / "evil").mkdir()
    for name in MODEL:
        (tmp_path / "evil" / name).write_bytes(b"x")
    (cache / "models--owl--eyes-3b" / "refs").mkdir(parents=True)
    (cache / "models--owl--eyes-3b" / "refs" / "main").write_text("../../../../evil")
    assert "cannot be reached" in failure()


def test_hub_that_is_not_there_is_named():
    said = failure()
    assert said.startswith("http://127.0.0.1:9 cannot be reached (no or a broken connection); check the network")


@pytest.mark.parametrize(
    ("setting", "silent"), [("HF_HUB_ETAG_TIMEOUT", "/api"), ("HF_HUB_DOWNLOAD_TIMEOUT", f"/{NAME}")]
)
def test_hub_that_does_not_answer_is_not_waited_for_longer_than_set(hub, monkeypatch, setting, silent):
    over = threading.Event()
    hub.refuses[silent] = lambda request: over.wait(20)
    monkeypatch.setattr(constants, setting, 0.1)
    try:
        assert "cannot be reached (no answer in 0.1 s)" in failure()
    finally:
        over.set()


@pytest.mark.parametrize(
    "endpoint", ["", "hf-mirror.com", "http://", "http://[", "http://a b", "ftp://a", "http://a..b", "http://a:x"]
)
def test_endpoint_that_is_no_address_is_named(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert failure() == f"HF_ENDPOINT={endpoint} is no address; write for example https://huggingface.co"


def test_variable_that_huggingface_hub_cannot_read_is_an_error(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "soon")
    assert failure() == "huggingface_hub does not start: a variable HF_... is no number or address; mend it"


def test_password_in_the_endpoint_is_not_shown(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", f"http://me:{TOKEN}@127.0.0.1:9/hub")
    assert failure().startswith("http://127.0.0.1:9/hub cannot be reached")


def test_proxy_that_cannot_be_used_is_named(monkeypatch):
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    close_session()
    try:
        assert "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY cannot be used" in failure()
    finally:
        close_session()


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert failure().endswith('needs huggingface_hub 1.0 or newer; pip install "ojito[hf]"')


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("source", ["variable", "file"])
def test_token_is_sent_to_the_hub_and_to_nobody_else(hub, monkeypatch, source):
    if source == "variable":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    else:
        Path(constants.HF_TOKEN_PATH).parent.mkdir(parents=True)
        Path(constants.HF_TOKEN_PATH).write_text(TOKEN)
    download(NAME)
    sent = {path: headers.get("Authorization") for _, path, headers in hub.asked}
    large = f"/large/{sha256(WEIGHTS)}"
    assert sent.pop(large) is None
    assert len(sent) == 1 + len(MODEL)
    assert set(sent.values()) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("forbidden", [True, False])
def test_without_a_token_or_where_that_is_forbidden_none_is_sent(hub, monkeypatch, forbidden):
    if forbidden:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    download(NAME)
    assert not any("Authorization" in headers for _, _, headers in hub.asked)


@pytest.mark.parametrize("token", ["hf_ñ", "hf a", "hf_\x01"])
def test_token_that_cannot_be_one_is_not_sent(hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    assert failure() == "the Hub's token holds characters that no token has; set HF_TOKEN to the token alone"
    assert not hub.asked


FILES = f"/{NAME}/resolve"
REFUSALS = [
    ("/api", 401, "RepoNotFound", None, "{name} is no folder, and on {url} no model or a private one; look for it on "
     "{url}/models?search=eyes-3b, or log in with `hf auth login`, or set HF_TOKEN"),
    ("/api", 404, None, None, "{name} is no folder, and on {url} no model"),
    ("/api", 401, None, None, "{name} is no folder, and on {url} no model"),
    ("/api", 401, None, TOKEN, "{url} does not know the token; log in with `hf auth login`, or set HF_TOKEN, or unset"),
    ("/api", 404, "RevisionNotFound", None, "{name} has no revision 'main'; leave @main out, or see {url}/{name}/tree"),
    (FILES, 401, "GatedRepo", None, "{name} has a licence to accept: do so on {url}/{name}, then log in with `hf auth "
     "login`, or set HF_TOKEN"),
    (FILES, 403, "GatedRepo", TOKEN, "{name} has a licence that this token's account has not accepted; accept it on "
     "{url}/{name}, and let the token read gated repositories"),
    (FILES, 403, None, TOKEN, "{name} may not be read with this token; see {url}/{name}"),
    (FILES, 403, None, None, "{name} may not be read; see {url}/{name}"),
    (FILES, 404, "EntryNotFound", None, "{url}/{name} lists a file that it does not have; try again later"),
    (FILES, 429, None, None, "{url} answers with status 429; too many requests; wait some minutes, or log in"),
    (FILES, 500, None, None, "{url} answers with status 500; try again later"),
    (FILES, 418, None, None, "{url} answers with status 418; try again later"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status", "code", "token", "message"), REFUSALS)
def test_refusal_says_what_to_do(hub, cache, monkeypatch, path, status, code, token, message):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.refuses[path] = (status, code)
    assert failure().startswith(message.format(name=NAME, url=hub.url))
    assert not tree(cache) - {name for name in tree(cache) if name.endswith((".lock", ".incomplete"))}


def test_server_words_are_not_repeated(hub):
    hub.refuses["/"] = lambda request: reply(request, 403, b'{"error": "SHOUT"}', **{"X-Error-Message": "SHOUT"})
    assert "SHOUT" not in failure()


def test_model_behind_a_licence_is_used_once_it_is_there(hub):
    folder = download(NAME)
    hub.refuses[FILES] = (401, "GatedRepo")
    assert download(NAME) == folder


def test_misspelt_model_that_is_nearly_in_the_cache_gets_a_hint(hub):
    download(NAME)
    assert failure("owl/eyes-3d").endswith(f"did you mean {NAME}?")
    assert "look for it on" in failure("google/paligemma-3b-pt-224")


def test_redirects_in_a_circle_are_an_error(hub):
    hub.refuses["/api"] = lambda request: reply(request, 302, Location=request.path)
    assert "cannot be reached" in failure()


# ---------------------------------------------------------------------------------------------------------- hostile hub


@pytest.mark.parametrize(
    "answer",
    [b"<html>Welcome to the hotel</html>", b"", b"[]", b"{}", b"[" * 100_000, b'{"sha": 1, "siblings": []}',
     b'{"sha": "' + b"1" * 40 + b'", "siblings": [{}]}',
     b'{"sha": "' + b"1" * 40 + b'", "siblings": [{"rfilename": 1}]}'],
)  # fmt: skip
def test_answer_that_is_not_the_hubs_is_an_error(hub, answer):
    hub.refuses["/api"] = lambda request: reply(request, 200, answer)
    assert f"{hub.url} answers, but not as the Hugging Face Hub; check HF_ENDPOINT" in failure()


def entry(name, **changes):
    return {"rfilename": name, "size": 4, "blobId": git_hash(b"evil"), **changes}


def renamed(listing, name):
    listing["siblings"].append(entry(name))


def set_commit(listing, commit):
    listing["sha"] = commit


def set_first(listing, **changes):
    listing["siblings"][0].update(changes)


def set_large(listing, **changes):
    listing["siblings"][2]["lfs"].update(changes)


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
    assert "model.safetensors.index.json does not list files of weights" in failure()
    assert set(hub.paths) == {f"/api/models/{NAME}/revision/main", "model.safetensors.index.json"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"x"}, "has no config.json, so it is no model that Ojito can load"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "has no model.safetensors, and Ojito reads weights as"),
        ({k: v for k, v in SHARDS.items() if "00002-" not in k}, "has no model-00002-of-00002.safetensors, and"),
    ],
)
def test_repository_that_is_no_model_is_an_error_before_anything_large_is_fetched(hub, files, message):
    hub.commits[NAME][FIRST] = files
    assert f"{hub.url}/{NAME} {message}" in failure()
    assert not [path for path in hub.paths if path.endswith((".safetensors", ".bin"))]


def test_settings_that_are_too_large_are_not_fetched(hub):
    hub.lies = lambda listing: set_first(listing, size=65 * 2**20)
    assert "config.json has 68157440 bytes, more than 67108864; choose another model" in failure()
    assert len(hub.paths) == 1


# ------------------------------------------------------------------------------------------------------------- the disk


def test_too_little_room_is_told_before_anything_is_fetched(hub, cache, monkeypatch):
    hub.lies = lambda listing: set_large(listing, size=3 * 2**30)
    usage = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    assert failure() == (
        f"{NAME} needs 3.0 GiB more, and 1.0 GiB are free for {cache}; free the disk, or set HF_HOME to another folder"
    )
    assert len(hub.paths) == 1


def test_what_is_there_needs_no_room(hub, monkeypatch):
    hub.stops[sha256(WEIGHTS)] = [len(WEIGHTS) - 1000] + [0] * 9
    failure()
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    hub.stops.clear()
    assert contents(download(NAME)) == MODEL


def test_disk_that_fills_up_is_an_error_and_the_beginning_is_kept(hub, cache, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        assert "eyes-3b cannot be written (No space left on device); free the disk, or set HF_HOME" in failure()
    assert list(cache.rglob("*.incomplete"))
    assert contents(download(NAME)) == MODEL


def test_cache_that_cannot_be_made_is_an_error(hub, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    assert "cannot be written (Not a directory)" in failure()


# ------------------------------------------------------------------------------------------------------- a real process


def test_environment_of_a_process_decides_where_what_and_as_whom(hub, tmp_path):
    code = (
        "import sys; from ojito.checkpoint.hub import download; assert 'huggingface_hub' not in sys.modules; "
        f"print(download('{NAME}')); assert 'transformers' not in sys.modules"
    )
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "elsewhere"), "HF_TOKEN": TOKEN}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**known, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.startswith(str(tmp_path / "elsewhere" / "hub" / "models--owl--eyes-3b"))
    assert contents(Path(done.stdout.strip())) == MODEL
    assert hub.headers("config.json")[0]["Authorization"] == f"Bearer {TOKEN}"
