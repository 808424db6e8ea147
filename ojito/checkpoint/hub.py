"""Models of the Hugging Face Hub, in the cache that all programs on this machine share.

A model is fetched when its id is loaded, never otherwise, and `huggingface_hub` is imported only then. It decides where
the Hub and the cache are, which token is sent, and how long to wait: HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN,
HF_HUB_OFFLINE and the others mean what they mean elsewhere.

The files go where every program of the Hub looks for them, so that a model is on the disk once, whoever fetched it:

    models--owner--name/blobs/7c3e...                        contents, named by their hash
    models--owner--name/snapshots/<commit>/model.safetensors -> ../../blobs/7c3e...
    models--owner--name/refs/main                            a branch's or tag's commit

Ojito writes them itself, for three reasons. A download that was interrupted, even by kill -9, goes on where it stopped
(`<hash>.ojito.incomplete`); `huggingface_hub` begins such a file anew. A content is put in place only when its hash is
the one that the Hub lists. And no path comes from the server: file names, hashes and commits are matched with what they
have to look like, and only files that loading needs are asked for: no pickle, no code. The lock files are those of
`huggingface_hub`, so that it and Ojito wait for each other.

Source: https://huggingface.co/docs/hub/local-cache, the layout of the cache.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from ojito.checkpoint.files import MAX_TEXT, CheckpointError
from ojito.checkpoint.tensors import CONFIG, INDEX, WEIGHTS

SETTINGS = (
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",  # this and the next are never run: that one is there says that the model chats
    "chat_template.json",
    "processor.json",  # this and the next: a folder that Ojito saved
    "recipe.yaml",
)
"""Files beside the weights that loading reads, where a model has them."""
PART = ".ojito.incomplete"
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts that brought nothing; after the last the download fails. Any byte starts them again."""

_PART_OF_ID = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_NEVER_IN_ID = re.compile(r"--|\.\.|\.git$")
_REVISION = re.compile(r"(?!.*(?:\.\.|//|/\.))\w[\w./+-]{0,199}(?<![/.])", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHARD = re.compile(r"\w[\w.-]{0,199}\.safetensors", re.ASCII)
_ENDPOINT = re.compile(r"https?://([^/@]*@)?(\w[\w-]*(\.[\w-]+)*|\[[\da-fA-F:]+\])(:\d+)?(/[!-~]*)?", re.ASCII)
_TOKEN = re.compile(r"[!-~]+")
_PASSING = (408, 429, 500, 502, 503, 504)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class HubError(CheckpointError):
    """A model that cannot be fetched: what is in the way, and what to do about it."""


class _PassingError(HubError):
    """One that may be over in a moment."""


def is_hub_id(name: str) -> bool:
    """Whether this is how the Hub writes a model's id: "owner/name", or "owner/name@revision".

    It may be a path as well: the caller asks first whether there is a folder of that name.
    """
    repository, at, revision = name.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or _NEVER_IN_ID.search(repository):
        return False
    return all(_PART_OF_ID.fullmatch(part) for part in parts) and (not at or bool(_REVISION.fullmatch(revision)))


def download(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder of a model of the Hub. What the cache lacks is fetched; what it has is not.

    The Hub is asked which commit a branch stands at, and only that when the cache has all. When it cannot be asked, the
    commit that it stood at last is taken from the cache.

    Args:
        name: "owner/name", or with a branch, tag or commit, "owner/name@revision".
        progress: Told the bytes that are there, and the bytes of the whole model, while something is fetched.

    Raises:
        ValueError: The name is no id of the Hub.
        HubError: `huggingface_hub` is not installed; the model is not on the Hub, is behind a licence, or is none that
            can be loaded; no network, no room on the disk.
    """
    if not is_hub_id(name):
        raise ValueError(f"{name!r} is no id of the Hugging Face Hub; write owner/name, or owner/name@revision")
    repository = _Repository(name, _package(name))
    try:
        return repository.fetch(progress or (lambda done, total: None))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HubError(
            f"{repository.folder} cannot be written ({reason}); free the disk, or set HF_HOME to another folder"
        ) from None


def _package(name: str) -> SimpleNamespace:
    """What is used of `huggingface_hub`.

    Raises:
        HubError: It is not installed, or does not start.
    """
    try:
        from huggingface_hub import constants, errors, get_session, get_token
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]
    except ImportError:
        needed = 'that needs huggingface_hub 1.0 or newer; pip install "ojito[hf]"'
        raise HubError(f"{name} would come from the Hugging Face Hub, and {needed}") from None
    except ValueError:  # it reads numbers and addresses from the environment
        raise HubError("huggingface_hub does not start: a variable HF_... is no number or address; mend it") from None
    return SimpleNamespace(
        constants=constants,
        get_token=get_token,
        get_session=get_session,
        lock=WeakFileLock,
        # All that goes wrong on the line: httpx.HTTPError in version 1, httpx2.HTTPError in version 2.
        line_error=errors.HfHubHTTPError.__bases__[0],
    )


@dataclass(frozen=True)
class _File:
    """What the Hub lists of a file: its size in bytes, and its hash (SHA-256; of a small file, git's SHA-1)."""

    name: str
    size: int
    digest: str


class _Repository:
    """A model at a revision, on the Hub and in the cache."""

    def __init__(self, name: str, hub: SimpleNamespace) -> None:
        self.name, _, revision = name.partition("@")
        self.revision = revision or "main"
        self.cache = Path(hub.constants.HF_HUB_CACHE)
        self.folder = self.cache / f"models--{self.name.replace('/', '--')}"
        self._hub, self._endpoint = hub, hub.constants.ENDPOINT
        self._shown = re.sub(r"//[^/@]*@", "//", self._endpoint)  # without a password
        self._headers: dict[str, str] = {}

    def fetch(self, progress: Callable[[int, int], None]) -> Path:
        """The snapshot's folder, with all files that loading needs."""
        if self._hub.constants.HF_HUB_OFFLINE:
            problem = HubError(
                f"{self.name}@{self.revision} is not whole in {self.cache}, and HF_HUB_OFFLINE forbids to fetch it; "
                "unset HF_HUB_OFFLINE, or give a folder"
            )
        else:
            if not _ENDPOINT.fullmatch(self._endpoint):
                raise HubError(f"HF_ENDPOINT={self._shown} is no address; write for example https://huggingface.co")
            self._headers = self._identification()
            try:
                commit, files = self._list()
            except HubError as error:
                problem = error
            else:
                return self._complete(commit, files, progress)
        cached = self._cached()
        if cached is None:
            raise problem
        return cached

    def _cached(self) -> Path | None:
        """The snapshot that the cache has of this revision, if it has config and weights."""
        commit = self._noted() or self.revision
        if not _COMMIT.fullmatch(commit):
            return None
        snapshot = self.folder / "snapshots" / commit
        sharded = not (snapshot / WEIGHTS).is_file() and (snapshot / INDEX).is_file()
        needed = [CONFIG, *(_shards(snapshot / INDEX) if sharded else [WEIGHTS])]
        return snapshot if all((snapshot / name).is_file() for name in needed) else None

    # ------------------------------------------------------------------------------------------------ what to fetch

    def _list(self) -> tuple[str, dict[str, _File]]:
        """The revision's commit, and those of its files that may be of use."""
        url = f"{self._endpoint}/api/models/{self.name}/revision/{quote(self.revision, safe='')}?blobs=true"
        body = bytearray()
        with self._open(url, self._hub.constants.HF_HUB_ETAG_TIMEOUT) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_TEXT:
                    break
        try:
            values = json.loads(body)
            commit = _matched(_COMMIT, values["sha"])
            if _COMMIT.fullmatch(self.revision) and commit != self.revision:
                raise ValueError("another commit")
            files = [_listed(entry) for entry in values["siblings"] if _useful(entry["rfilename"])]
            return commit, {file.name: file for file in files}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HubError(
                f"{self._shown} answers, but not as the Hugging Face Hub; check HF_ENDPOINT, and whether a proxy or a "
                "page to log in stands between"
            ) from None

    def _complete(self, commit: str, files: Mapping[str, _File], progress: Callable[[int, int], None]) -> Path:
        """The snapshot of the commit, after what it lacked was fetched."""
        page, snapshot = f"{self._shown}/{self.name}", self.folder / "snapshots" / commit
        if CONFIG not in files:
            raise HubError(f"{page} has no {CONFIG}, so it is no model that Ojito can load; choose another")
        for name in (*SETTINGS, INDEX):
            if name in files and files[name].size > MAX_TEXT:
                problem = f"{name} has {files[name].size} bytes, more than {MAX_TEXT}"
                raise HubError(f"{page}: {problem}; choose another model")
        names = [name for name in SETTINGS if name in files]
        if WEIGHTS not in files and INDEX in files:
            self._bring([files[INDEX]], commit, lambda done, total: None)
            names += [INDEX, *_shards(snapshot / INDEX)]
        else:
            names.append(WEIGHTS)
        absent = [name for name in names if name not in files]
        if absent:
            raise HubError(
                f"{page} has no {absent[0]}, and Ojito reads weights as safetensors only; choose a model, or a "
                "revision of it, that has them"
            )
        self._bring([files[name] for name in names], commit, progress)
        self._remember(commit)
        return snapshot

    # ----------------------------------------------------------------------------------------------------- fetching

    def _bring(self, files: Sequence[_File], commit: str, progress: Callable[[int, int], None]) -> None:
        """Fetches those files that the snapshot lacks."""
        snapshot = self.folder / "snapshots" / commit
        missing = [file for file in files if not _whole(snapshot / file.name, file.size)]
        if not missing:
            return
        (self.folder / "blobs").mkdir(parents=True, exist_ok=True)
        snapshot.mkdir(parents=True, exist_ok=True)
        self._check_disk([file for file in missing if not _whole(self._blob(file), file.size)])
        total = sum(file.size for file in files)
        done = total - sum(file.size for file in missing)
        for file in missing:

            def report(size: int, before: int = done) -> None:
                progress(before + size, total)

            self._bring_one(file, commit, report)
            done += file.size
            progress(done, total)

    def _bring_one(self, file: _File, commit: str, progress: Callable[[int], None]) -> None:
        blob, part, path = self._blob(file), self._part(file), self.folder / "snapshots" / commit / file.name
        lock = self.cache / ".locks" / self.folder.name / f"{file.digest}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with self._hub.lock(lock):
            if _whole(path, file.size):  # while this process waited for its turn, another one fetched it
                return
            if not _whole(blob, file.size):
                part.touch()
                self._transfer(file, commit, part, progress)
                if _hash(part, file) != file.digest:
                    part.unlink()
                    raise HubError(
                        f"{file.name} of {self.name} came damaged: its hash is not the one that the Hub lists; "
                        "fetch it again"
                    )
                os.replace(part, blob)
            _link(blob, path)

    def _transfer(self, file: _File, commit: str, part: Path, progress: Callable[[int], None]) -> None:
        """Goes on with `part` until it has all bytes, through breaks of the line."""
        url = f"{self._endpoint}/{self.name}/resolve/{commit}/{quote(file.name)}"
        pauses = iter(PAUSES)
        while (size := part.stat().st_size) < file.size:
            progress(size)
            problem = _PassingError(f"{self._shown} sends nothing of {file.name}; try again later")
            try:
                self._append(url, file, part, progress)
            except _PassingError as error:
                problem = error
            if part.stat().st_size > size:
                pauses = iter(PAUSES)
                continue
            pause = next(pauses, None)
            if pause is None:
                raise problem
            time.sleep(pause)

    def _append(self, url: str, file: _File, part: Path, progress: Callable[[int], None]) -> None:
        """One attempt at the bytes that `part` lacks."""
        have = part.stat().st_size
        # A file that is packed on its way could not be gone on with in the middle.
        wishes = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self._open(url, self._hub.constants.HF_HUB_DOWNLOAD_TIMEOUT, **wishes) as response, part.open("ab") as out:
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
        """The answer to a GET, while it comes.

        Raises:
            HubError: The Hub refuses, or the line breaks.
        """
        try:
            session = self._hub.get_session()
        except (ImportError, ValueError):
            raise HubError(
                "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY cannot be used; mend the address, or for a socks "
                "proxy pip install socksio"
            ) from None
        try:
            # A redirect to another host, where large files are, does not take the token with it.
            with session.stream(
                "GET", url, headers={**self._headers, **headers}, timeout=timeout, follow_redirects=True
            ) as response:
                if response.status_code >= 400:
                    raise self._refusal(response.status_code, response.headers.get("X-Error-Code", ""))
                yield response
        except self._hub.line_error as error:
            reason = f"no answer in {timeout} s" if "Timeout" in type(error).__name__ else "no or a broken connection"
            raise _PassingError(
                f"{self._shown} cannot be reached ({reason}); check the network and, where they are set, HF_ENDPOINT "
                "and HTTPS_PROXY, then go on: what has come is kept"
            ) from None

    def _identification(self) -> dict[str, str]:
        """The headers that say who asks."""
        headers = {"User-Agent": "ojito"}
        token = None if self._hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else self._hub.get_token()
        if token:
            if not _TOKEN.fullmatch(token):
                raise HubError("the Hub's token holds characters that no token has; set HF_TOKEN to the token alone")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _refusal(self, status: int, code: str) -> HubError:
        """What a status of 400 or more means. Of the server's words only the code is used."""
        page, known = f"{self._shown}/{self.name}", "Authorization" in self._headers
        if code == "GatedRepo":
            if known:
                return HubError(
                    f"{self.name} has a licence that this token's account has not accepted; accept it on {page}, and "
                    "let the token read gated repositories"
                )
            return HubError(f"{self.name} has a licence to accept: do so on {page}, then {_LOG_IN}")
        if code == "RevisionNotFound":
            return HubError(
                f"{self.name} has no revision {self.revision!r}; leave @{self.revision} out, or see {page}/tree/main "
                "for branches and tags"
            )
        if code == "EntryNotFound":
            return HubError(f"{page} lists a file that it does not have; try again later")
        if code != "RepoNotFound" and status == 401 and known:
            return HubError(f"{self._shown} does not know the token; {_LOG_IN}, or unset it: {self.name} may be public")
        if code == "RepoNotFound" or status in (401, 404):
            return HubError(f"{self.name} is no folder, and on {self._shown} no model or a private one; {self._hint()}")
        if status == 403:
            return HubError(f"{self.name} may not be read{' with this token' * known}; see {page}, or {_LOG_IN}")
        kind = _PassingError if status in _PASSING else HubError
        wait = f"too many requests; wait some minutes, or {_LOG_IN}" if status == 429 else "try again later"
        return kind(f"{self._shown} answers with status {status}; {wait}")

    def _hint(self) -> str:
        """What was meant, perhaps."""
        cached = [path.name[len("models--") :].replace("--", "/") for path in self.cache.glob("models--*--*")]
        near = difflib.get_close_matches(self.name, [name for name in cached if name != self.name], 1)
        if near:
            return f"did you mean {near[0]}?"
        return f"look for it on {self._shown}/models?search={self.name.partition('/')[2]}, or {_LOG_IN}"

    def _check_disk(self, files: Sequence[_File]) -> None:
        parts = [self._part(file) for file in files]
        needed = sum(file.size for file in files) - sum(part.stat().st_size for part in parts if part.is_file())
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise HubError(
                f"{self.name} needs {needed / 2**30:.1f} GiB more, and {free / 2**30:.1f} GiB are free for "
                f"{self.cache}; free the disk, or set HF_HOME to another folder"
            )

    def _remember(self, commit: str) -> None:
        """Notes where the branch or tag stands."""
        if commit in (self.revision, self._noted()):
            return
        ref = self.folder / "refs" / self.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        fresh = ref.with_name(f"{ref.name}.{secrets.token_hex(4)}.tmp")
        fresh.write_text(commit, encoding="utf-8")
        os.replace(fresh, ref)

    def _noted(self) -> str:
        """Where the branch or tag stood last; empty if nobody noted it."""
        ref = self.folder / "refs" / self.revision
        return ref.read_text(encoding="utf-8", errors="replace").strip() if ref.is_file() else ""

    def _blob(self, file: _File) -> Path:
        return self.folder / "blobs" / file.digest

    def _part(self, file: _File) -> Path:
        return self.folder / "blobs" / f"{file.digest}{PART}"


def _useful(name: Any) -> bool:
    return name in SETTINGS or name == INDEX or bool(_SHARD.fullmatch(name))


def _listed(entry: Mapping[str, Any]) -> _File:
    large = entry.get("lfs")
    size = large["size"] if large else entry["size"]
    if type(size) is not int or size < 0:
        raise ValueError("not a size")
    return _File(entry["rfilename"], size, _matched(_DIGEST, large["sha256"] if large else entry["blobId"]))


def _shards(index: Path) -> list[str]:
    """The names of the weight files that an index lists."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(_matched(_SHARD, name) for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HubError(f"{index} does not list files of weights; choose another model") from None


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError("not what it has to look like")
    return text


def _whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _hash(path: Path, file: _File) -> str:
    digest = hashlib.sha256()
    if len(file.digest) == 40:  # as git has it: the content after its kind and size
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _link(blob: Path, path: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:  # Windows without the right to make links: the file itself stands in the snapshot
        os.replace(blob, path)
