"""Where there is no network, no Hub, no right or no model: one line that says what to do."""

import sys
import threading
from pathlib import Path

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.hub.download import download
from ojito.loading import find_folder
from tests.hub.owl import FIRST, MODEL, NAME, SHARDS, TOKEN, WEIGHTS, failure, tree
from tests.hub.server import reply, sha256

# -------------------------------------------------------------------------------------------------- without the network


def test_offline_the_cache_is_used_and_nobody_asked(hub, constants, monkeypatch):
    folder = download(NAME)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(NAME) == download(f"{NAME}@{FIRST}") == folder
    assert not hub.asked


@pytest.mark.parametrize("files", [MODEL, SHARDS], ids=["one file", "shards"])
@pytest.mark.parametrize("lost", ["all", "refs/main", "config.json", "weights"])
def test_offline_a_model_that_is_not_whole_is_an_error(hub, cache, constants, monkeypatch, files, lost):
    hub.commits[NAME][FIRST] = files
    if lost != "all":
        folder = download(NAME)
        weights = next(name for name in files if name.endswith(".safetensors"))
        (cache / "models--owl--eyes-3b" / lost if "/" in lost else folder / lost.replace("weights", weights)).unlink()
        hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = failure()
    assert said.startswith(f"{NAME}@main: is not whole in {cache}, and HF_HUB_OFFLINE forbids")
    assert not hub.asked


def test_cache_is_used_where_the_hub_cannot_be_asked(hub, constants, monkeypatch):
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


def test_name_that_nobody_knows_is_no_folder_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^owl/eyes-3b: is no folder, and http://127\.0\.0\.1:9 cannot be"):
        find_folder(NAME)


@pytest.mark.parametrize("name", ["runs/mine", "models/mine"])
def test_hub_is_not_asked_for_a_path_that_is_misspelt(hub, tmp_path, monkeypatch, name):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_folder(name) is None
    assert not hub.asked


def test_hub_that_is_not_there_is_named():
    said = failure()
    assert said.startswith("http://127.0.0.1:9: cannot be reached (no or a broken connection); check the network")


@pytest.mark.parametrize(
    ("setting", "silent"), [("HF_HUB_ETAG_TIMEOUT", "/api"), ("HF_HUB_DOWNLOAD_TIMEOUT", f"/{NAME}")]
)
def test_hub_that_does_not_answer_is_not_waited_for_longer_than_set(hub, constants, monkeypatch, setting, silent):
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
def test_endpoint_that_is_no_address_is_named(constants, monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert failure() == f"HF_ENDPOINT={endpoint}: is no address; write for example https://huggingface.co"


def test_variable_that_huggingface_hub_cannot_read_is_an_error(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "soon")
    assert failure() == "huggingface_hub: does not start: a variable HF_... is no number or address; mend it"


def test_password_in_the_endpoint_is_not_shown(constants, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", f"http://me:{TOKEN}@127.0.0.1:9/hub")
    assert failure().startswith("http://127.0.0.1:9/hub: cannot be reached")


def test_proxy_that_cannot_be_used_is_named(monkeypatch):
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    close_session()
    try:
        assert "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY: cannot be used" in failure()
    finally:
        close_session()


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert failure().endswith('needs huggingface_hub 1.0 or newer; check the path, or pip install "ojito[hf]"')


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("source", ["variable", "file"])
def test_token_is_sent_to_the_hub_and_to_nobody_else(hub, constants, monkeypatch, source):
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
def test_without_a_token_or_where_that_is_forbidden_none_is_sent(hub, constants, monkeypatch, forbidden):
    if forbidden:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    download(NAME)
    assert not any("Authorization" in headers for _, _, headers in hub.asked)


@pytest.mark.parametrize("token", ["hf_ñ", "hf a", "hf_\x01"])
def test_token_that_cannot_be_one_is_not_sent(hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    assert failure() == "the Hub's token: holds characters that no token has; set HF_TOKEN to the token alone"
    assert not hub.asked


FILES = f"/{NAME}/resolve"
REFUSALS = [
    ("/api", 401, "RepoNotFound", None, "{name}: is no folder, and on {url} no model or a private one; look for it on "
     "{url}/models?search=eyes-3b, or log in with `hf auth login`, or set HF_TOKEN"),
    ("/api", 404, None, None, "{name}: is no folder, and on {url} no model"),
    ("/api", 401, None, None, "{name}: is no folder, and on {url} no model"),
    ("/api", 401, None, TOKEN, "{url}: does not know the token; log in with `hf auth login`, or set HF_TOKEN, or"),
    ("/api", 404, "RevisionNotFound", None, "{name}: has no revision 'main'; leave @main out, or see {url}/{name}"),
    (FILES, 401, "GatedRepo", None, "{name}: has a licence to accept; do so on {url}/{name}, then log in with `hf auth "
     "login`, or set HF_TOKEN"),
    (FILES, 403, "GatedRepo", TOKEN, "{name}: has a licence that this token's account has not accepted; accept it on "
     "{url}/{name}, and let the token read gated repositories"),
    (FILES, 403, None, TOKEN, "{name}: may not be read with this token; see {url}/{name}"),
    (FILES, 403, None, None, "{name}: may not be read; see {url}/{name}"),
    (FILES, 404, "EntryNotFound", None, "{url}/{name}: lists a file that it does not have; try again later"),
    (FILES, 429, None, None, "{url}: answers with status 429 (too many requests); wait some minutes, or log in"),
    (FILES, 500, None, None, "{url}: answers with status 500; try again later"),
    (FILES, 418, None, None, "{url}: answers with status 418; try again later"),
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
