"""Transfer of bytes from the Hub, resumed after broken connections, and the meaning of its refusals.

`huggingface_hub`, imported here and only when something is asked for, decides where the Hub is, which token is sent,
through which proxy, and how long to wait.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from ojito.checkpoint.files import MAX_TEXT, CheckpointError
from ojito.checkpoint.hub_cache import Cached

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts that brought nothing; after the last the download fails. Any byte starts them again."""

_ENDPOINT = re.compile(r"https?://([^/@]*@)?(\w[\w-]*(\.[\w-]+)*|\[[\da-fA-F:]+\])(:\d+)?(/[!-~]*)?", re.ASCII)
_TOKEN = re.compile(r"[!-~]+")
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class HubError(CheckpointError):
    """A model that cannot be downloaded."""


class TransientError(HubError):
    """A failure that may pass by itself."""


@dataclass(frozen=True)
class Client:
    """The parts of `huggingface_hub` that are used.

    Attributes:
        constants: What it read from the environment.
        get_token: The user's token.
        get_session: The client for HTTP that all of its requests share.
        lock: Holds a lock file.
        connection_error: The errors of a connection.
    """

    constants: ModuleType
    get_token: Callable[[], str | None]
    get_session: Callable[[], Any]
    lock: Callable[[Path], AbstractContextManager[object]]
    connection_error: type[Exception]


def client(name: str) -> Client:
    """The `huggingface_hub` that is installed, to fetch the model of that name.

    Raises:
        HubError: There is none, or it does not start.
    """
    try:
        from huggingface_hub import constants, errors, get_session, get_token
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]
    except ImportError:
        problem = "is no folder, and to come from the Hugging Face Hub it needs huggingface_hub 1.0 or newer"
        raise HubError(name, problem, 'check the path, or pip install "ojito[hf]"') from None
    except ValueError:  # it reads numbers and addresses from the environment
        raise HubError(
            "huggingface_hub", "does not start: a variable HF_... is no number or address", "mend it"
        ) from None
    # The last is httpx.HTTPError in version 1, httpx2.HTTPError in version 2.
    return Client(constants, get_token, get_session, WeakFileLock, errors.HfHubHTTPError.__bases__[0])


@dataclass(frozen=True)
class File:
    """What the Hub lists of a file: its size in bytes, and its hash (SHA-256; of a small file, git's SHA-1)."""

    name: str
    size: int
    digest: str

    def whole_at(self, path: Path) -> bool:
        """Whether the file is complete at this path."""
        return path.is_file() and path.stat().st_size == self.size

    def hash_of(self, path: Path) -> str:
        """Return the hash of the bytes at this path, of the kind that the Hub lists."""
        digest = hashlib.sha256()
        if len(self.digest) == 40:  # as git has it: the content after its kind and size
            digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as content:
            while chunk := content.read(2**20):
                digest.update(chunk)
        return digest.hexdigest()


class Connection:
    """A connection to the Hub, for one repository.

    Attributes:
        page: Where a person reads about the repository.
        shown: The Hub's address, without a password.

    Raises:
        HubError: HF_ENDPOINT is no address, or the token is none.
    """

    def __init__(self, repository: Cached, hub: Client) -> None:
        self._repository, self._hub = repository, hub
        self._endpoint = hub.constants.ENDPOINT
        self.shown = re.sub(r"//[^/@]*@", "//", self._endpoint)
        self.page = f"{self.shown}/{repository.name}"
        self._headers: dict[str, str] = {}
        if not hub.constants.HF_HUB_OFFLINE:
            if not _ENDPOINT.fullmatch(self._endpoint):
                raise HubError(f"HF_ENDPOINT={self.shown}", "is no address", "write for example https://huggingface.co")
            self._headers = self._identification()

    def listing(self) -> bytes:
        """Return the Hub's listing of the revision, cut off at a limit.

        Raises:
            HubError: It says nothing, or may not be asked.
        """
        name, revision = self._repository.name, self._repository.revision
        if self._hub.constants.HF_HUB_OFFLINE:
            problem = f"is not whole in {self._repository.cache}, and HF_HUB_OFFLINE forbids to fetch it"
            raise HubError(f"{name}@{revision}", problem, "unset HF_HUB_OFFLINE, or give a folder")
        url = f"{self._endpoint}/api/models/{name}/revision/{quote(revision, safe='')}?blobs=true"
        body = bytearray()
        with self._open(url, self._hub.constants.HF_HUB_ETAG_TIMEOUT) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_TEXT:
                    break
        return bytes(body)

    def transfer(self, file: File, commit: str, partial: Path, progress: Callable[[int], None]) -> None:
        """Continue `partial` until it has all bytes, through broken connections.

        Args:
            file: Which.
            commit: Of the repository.
            partial: What came before, if only of no bytes.
            progress: Called with its size in bytes.

        Raises:
            HubError: The Hub refuses, or the connection stays broken.
            OSError: The disk is full.
        """
        url = f"{self._endpoint}/{self._repository.name}/resolve/{commit}/{quote(file.name)}"
        pauses = iter(PAUSES)
        while (size := partial.stat().st_size) < file.size:
            progress(size)
            problem = TransientError(self.shown, f"sends nothing of {file.name}", "try again later")
            try:
                self._append(url, file, partial, progress)
            except TransientError as error:
                problem = error
            if partial.stat().st_size > size:
                pauses = iter(PAUSES)
                continue
            pause = next(pauses, None)
            if pause is None:
                raise problem
            time.sleep(pause)

    def _append(self, url: str, file: File, partial: Path, progress: Callable[[int], None]) -> None:
        """Try once to download the bytes that `partial` lacks."""
        have = partial.stat().st_size
        # A file that is packed on its way could not be gone on with in the middle.
        wishes = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        timeout = self._hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        with self._open(url, timeout, **wishes) as response, partial.open("ab") as out:
            if response.status_code != 206:  # all of it, from the start
                out.seek(0)
                out.truncate()
            for chunk in response.iter_bytes():
                out.write(chunk)
                progress(min(out.tell(), file.size))
                if out.tell() > file.size:
                    break  # its hash will be a wrong one
            out.flush()
            os.fsync(out.fileno())

    @contextmanager
    def _open(self, url: str, timeout: float, **headers: str) -> Iterator[Any]:
        """Context with the response to a GET, which is streamed.

        Raises:
            HubError: The Hub refuses, or the connection breaks.
        """
        try:
            session = self._hub.get_session()
        except (ImportError, ValueError):
            remedy = "mend the address, or for a socks proxy pip install socksio"
            raise HubError("the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY", "cannot be used", remedy) from None
        try:
            # A redirect to another host, where large files are, does not take the token with it.
            with session.stream(
                "GET", url, headers={**self._headers, **headers}, timeout=timeout, follow_redirects=True
            ) as response:
                if response.status_code >= 400:
                    raise self._refusal(response.status_code, response.headers.get("X-Error-Code", ""))
                yield response
        except self._hub.connection_error as error:
            reason = f"no answer in {timeout} s" if "Timeout" in type(error).__name__ else "no or a broken connection"
            raise TransientError(
                self.shown,
                f"cannot be reached ({reason})",
                "check the network and, where they are set, HF_ENDPOINT and HTTPS_PROXY, then try again: what has come "
                "is kept",
            ) from None

    def _identification(self) -> dict[str, str]:
        """The headers of a request: the user agent and the token."""
        headers = {"User-Agent": "ojito"}
        token = None if self._hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else self._hub.get_token()
        if token:
            if not _TOKEN.fullmatch(token):
                problem = "holds characters that no token has"
                raise HubError("the Hub's token", problem, "set HF_TOKEN to the token alone")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _refusal(self, status: int, code: str) -> HubError:
        """Return the error for a status of 400 or more; of the server's words only the code is used."""
        name, revision = self._repository.name, self._repository.revision
        known = "Authorization" in self._headers
        if code == "GatedRepo":
            if known:
                remedy = f"accept it on {self.page}, and let the token read gated repositories"
                return HubError(name, "has a licence that this token's account has not accepted", remedy)
            return HubError(name, "has a licence to accept", f"do so on {self.page}, then {_LOG_IN}")
        if code == "RevisionNotFound":
            remedy = f"leave @{revision} out, or see {self.page}/tree/main for branches and tags"
            return HubError(name, f"has no revision {revision!r}", remedy)
        if code == "EntryNotFound":
            return HubError(self.page, "lists a file that it does not have", "try again later")
        if code != "RepoNotFound" and status == 401 and known:
            return HubError(self.shown, "does not know the token", f"{_LOG_IN}, or unset it: {name} may be public")
        if code == "RepoNotFound" or status in (401, 404):
            return HubError(name, f"is no folder, and on {self.shown} no model or a private one", self._hint())
        if status == 403:
            return HubError(name, f"may not be read{' with this token' * known}", f"see {self.page}, or {_LOG_IN}")
        kind = TransientError if status in _TRANSIENT else HubError
        wait = f"wait some minutes, or {_LOG_IN}" if status == 429 else "try again later"
        many = " (too many requests)" * (status == 429)
        return kind(self.shown, f"answers with status {status}{many}", wait)

    def _hint(self) -> str:
        """A remedy for a name that the Hub does not know."""
        near = self._repository.nearest()
        if near:
            return f"did you mean {near}?"
        word = self._repository.name.partition("/")[2]
        return f"look for it on {self.shown}/models?search={word}, or {_LOG_IN}"
