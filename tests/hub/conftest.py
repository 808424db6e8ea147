"""A Hub to ask, and a cache to fill; and nobody else is reached."""

import os
import socket

import pytest

from tests.hub.owl import FIRST, MODEL, NAME
from tests.hub.server import Hub


def ours(host):
    """The host, if it is this machine."""
    if host not in ("127.0.0.1", "localhost"):
        pytest.fail(f"a test wanted to reach {host}")
    return host


@pytest.fixture
def constants():
    """What huggingface_hub read from the environment when it was imported."""
    return pytest.importorskip("huggingface_hub.constants", reason="pip install 'ojito[hf]'")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path, constants):
    """An empty cache, no token, and no way out of this machine."""
    for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kw: resolve(ours(host), *args, **kw))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("ojito.hub.transfer.PAUSES", (0.0, 0.0))
    return tmp_path / "home" / "hub"


@pytest.fixture
def hub(monkeypatch, constants):
    """A Hub with one model, which is asked instead of the real one."""
    hub = Hub(NAME, FIRST, MODEL)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"  # made of the endpoint when it was imported
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield hub
    hub.close()
