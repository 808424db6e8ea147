"""Downloads of models from the Hugging Face Hub, only when their id is loaded.

Files go where every program of the Hub looks for them, which `cache` knows; `transfer` brings their bytes.
HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_HUB_OFFLINE and the others mean what they mean elsewhere.

Ojito writes the cache itself, for four reasons. A model that it has not is refused when its settings are here, before
gigabytes of weights are. A download that was interrupted, even by kill -9, goes on where it stopped
(`<hash>.ojito.incomplete`); `huggingface_hub` begins such a file anew. A content is put in place only when its hash is
the one that the Hub lists. And no path comes from the server: file names, hashes and commits are matched with what they
have to look like, and only files that loading needs are asked for: no pickle, no code. The lock files are those of
`huggingface_hub`, so that it and Ojito wait for each other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import ADAPTER, CONFIG, INDEX, MAX_TEXT, WEIGHTS, CheckpointError
from ojito.checkpoint.hub_cache import COMMIT, Cached, is_hub_id, link
from ojito.errors import OjitoError
from ojito.hub.transfer import Client, Connection, File, HubError, client
from ojito.records import Progress
from ojito.settings import ConfigError

Check = Callable[[Path], object]

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
VOCABULARY = ("tokenizer_config.json", "tokenizer.json")
"""Those of them that make a tokenizer. In this order: where the second is, all that there is of the first has come."""

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHARD = re.compile(r"\w[\w.-]{0,199}\.safetensors", re.ASCII)


def download(name: str, progress: Progress | None = None, check: Check | None = None) -> Path:
    """Return the folder of a model of the Hub. What the cache lacks is fetched; what it has is not.

    The Hub is asked which commit a branch stands at, and only that when the cache has all. When it cannot be asked, the
    commit that it stood at last is taken from the cache.

    Args:
        name: "owner/name", or with a branch, tag or commit, "owner/name@revision".
        progress: Called with the bytes that are there, and those of the whole model, while something is fetched.
        check: Called with the folder when all but the weights is in it. What it raises ends the download before them,
            a `CheckpointError` or `ConfigError` with the model's name in place of the folder.

    Raises:
        HubError: The name is no id of the Hub; `huggingface_hub` is not installed; the model is not on the Hub, is
            behind a licence, or is none that can be loaded; no network, no room on the disk.
    """
    with _repository(name) as repository:
        return repository.model(progress or _silent, check or _unchecked)


def download_tokenizer(name: str) -> Path:
    """Return the folder of a repository of the Hub that has a tokenizer, for a model that only names it.

    The Hub is asked only where the cache has none: a model's weights know the vocabulary that they were trained with,
    and follow no other.

    Args:
        name: As for `download`.

    Raises:
        HubError: As for `download`; or the repository has no tokenizer.json.
    """
    with _repository(name) as repository:
        return repository.tokenizer()


@contextmanager
def _repository(name: str) -> Iterator[_Repository]:
    """Context with the repository of that name."""
    if not is_hub_id(name):
        problem = "is no id of the Hugging Face Hub"
        raise HubError(repr(name), problem, "write owner/name, or owner/name@revision")
    hub = client(name)
    cached = Cached.of(Path(hub.constants.HF_HUB_CACHE), name)
    try:
        yield _Repository(cached, hub)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "free the disk, or set HF_HOME to another folder"
        raise HubError(cached.folder, f"cannot be written ({reason})", remedy) from None


def _silent(done: int, total: int) -> None:
    pass


def _unchecked(folder: Path) -> None:
    pass


class _Repository:
    """A repository at a revision, on the Hub and in the cache."""

    def __init__(self, cached: Cached, hub: Client) -> None:
        self.cached, self._hub, self._connection = cached, hub, Connection(cached, hub)
        self._has_gguf = False

    def model(self, progress: Progress, check: Check) -> Path:
        """The snapshot's folder, with all files that loading needs."""
        try:
            commit, listed = self._list()
        except HubError:
            snapshot = self._whole()
            if snapshot is None:
                raise
            self._approve(snapshot, check)
            return snapshot
        page = self._connection.page
        if ADAPTER in listed:
            whole = WEIGHTS in listed or INDEX in listed
            problem = f"holds an adapter{' beside its model' if whole else ', and not its model'}"
            remedy = "download its files, and give their folder; its model is then named by --base"
            aside = "; without the adapter's files, the folder loads as the model alone" * whole
            raise HubError(page, problem, remedy + aside)
        if CONFIG not in listed:
            also = " and has its weights as GGUF, of which Ojito fetches none" if self._has_gguf else ""
            remedy = "download a file of it, and give its path" if self._has_gguf else "choose another"
            raise HubError(page, f"has no {CONFIG}{also}, so it is no model that Ojito can load", remedy)
        snapshot, settings = self.cached.snapshot(commit), self._texts(SETTINGS, listed)
        files = [*settings, *self._weights(commit, listed)]
        total = sum(file.size for file in files)
        self._bring(settings, commit, lambda done, _: progress(done, total))
        self._approve(snapshot, check)
        self._bring(files, commit, progress)
        self.cached.remember(commit)
        return snapshot

    def tokenizer(self) -> Path:
        """A snapshot's folder, with the files of a tokenizer."""
        snapshot = self.cached.current()
        if snapshot is not None and (snapshot / VOCABULARY[-1]).is_file():
            return snapshot
        commit, listed = self._list()
        if VOCABULARY[-1] not in listed:
            problem = f"has no {VOCABULARY[-1]}"
            raise HubError(self._connection.page, problem, "choose a model with another tokenizer")
        self._bring(self._texts(VOCABULARY, listed), commit, _silent)
        self.cached.remember(commit)
        return self.cached.snapshot(commit)

    def _whole(self) -> Path | None:
        """The snapshot that the cache has of this revision, if it has config and weights."""
        snapshot = self.cached.current()
        if snapshot is None:
            return None
        sharded = not (snapshot / WEIGHTS).is_file() and (snapshot / INDEX).is_file()
        needed = [CONFIG, *(_shards(snapshot / INDEX) if sharded else [WEIGHTS])]
        return snapshot if all((snapshot / name).is_file() for name in needed) else None

    def _approve(self, snapshot: Path, check: Check) -> None:
        """Run the check; its errors name the model instead of the snapshot's folder."""

        def named(error: OjitoError) -> OjitoError:
            inside = error.where.removeprefix(str(snapshot))
            where = self.cached.name + inside if inside != error.where else error.where
            return type(error)(where, error.problem, error.remedy, error.details)

        try:
            check(snapshot)
        except (CheckpointError, ConfigError) as error:
            raise named(error) from None

    # ------------------------------------------------------------------------------------------------ what to fetch

    def _list(self) -> tuple[str, dict[str, File]]:
        """The revision's commit, and those of its files that may be of use."""
        body, revision = self._connection.listing(), self.cached.revision
        try:
            values = json.loads(body)
            commit = _matched(COMMIT, values["sha"])
            if COMMIT.fullmatch(revision) and commit != revision:
                raise ValueError("another commit")  # caught where it is called
            files = [_listed(entry) for entry in values["siblings"] if _useful(entry["rfilename"])]
            self._has_gguf = any(str(entry["rfilename"]).endswith(".gguf") for entry in values["siblings"])
            return commit, {file.name: file for file in files}
        except (ValueError, KeyError, TypeError, RecursionError):
            problem = "answers, but not as the Hugging Face Hub"
            remedy = "check HF_ENDPOINT, and whether a proxy or a page to log in stands between"
            raise HubError(self._connection.shown, problem, remedy) from None

    def _texts(self, names: Sequence[str], listed: Mapping[str, File]) -> list[File]:
        """Return those of the named files that the repository has."""
        files = [listed[name] for name in names if name in listed]
        for file in files:
            if file.size > MAX_TEXT:
                problem = f"{file.name} has {file.size} bytes, more than {MAX_TEXT}"
                raise HubError(self._connection.page, problem, "choose another model")
        return files

    def _weights(self, commit: str, listed: Mapping[str, File]) -> list[File]:
        """The files of the weights, and their index, which is fetched to know them."""
        names = [WEIGHTS]
        if WEIGHTS not in listed and INDEX in listed:
            self._bring(self._texts([INDEX], listed), commit, _silent)
            names = [INDEX, *_shards(self.cached.snapshot(commit) / INDEX)]
        absent = [name for name in names if name not in listed]
        if absent:
            problem = f"has no {absent[0]}, and Ojito reads weights as safetensors only"
            raise HubError(self._connection.page, problem, "choose a model, or a revision of it, that has them")
        return [listed[name] for name in names]

    # ----------------------------------------------------------------------------------------------------- fetching

    def _bring(self, files: Sequence[File], commit: str, progress: Progress) -> None:
        """Download the files that the snapshot lacks."""
        snapshot = self.cached.snapshot(commit)
        missing = [file for file in files if not file.whole_at(snapshot / file.name)]
        if not missing:
            return
        (self.cached.folder / "blobs").mkdir(parents=True, exist_ok=True)
        snapshot.mkdir(parents=True, exist_ok=True)
        self._check_disk([file for file in missing if not file.whole_at(self.cached.blob(file.digest))])
        total = sum(file.size for file in files)
        done = total - sum(file.size for file in missing)
        for file in missing:

            def report(size: int, before: int = done) -> None:
                progress(before + size, total)

            self._bring_one(file, commit, report)
            done += file.size
            progress(done, total)

    def _bring_one(self, file: File, commit: str, progress: Callable[[int], None]) -> None:
        blob, partial = self.cached.blob(file.digest), self.cached.partial(file.digest)
        path, lock = self.cached.snapshot(commit) / file.name, self.cached.lock(file.digest)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with self._hub.lock(lock):
            if file.whole_at(path):  # while this process waited for its turn, another one fetched it
                return
            if not file.whole_at(blob):
                partial.touch()
                self._connection.transfer(file, commit, partial, progress)
                if file.hash_of(partial) != file.digest:
                    partial.unlink()
                    problem = "came damaged: its hash is not the one that the Hub lists"
                    raise HubError(f"{file.name} of {self.cached.name}", problem, "fetch it again")
                os.replace(partial, blob)
            link(blob, path)

    def _check_disk(self, files: Sequence[File]) -> None:
        partials = [self.cached.partial(file.digest) for file in files]
        there = sum(partial.stat().st_size for partial in partials if partial.is_file())
        needed, free = sum(file.size for file in files) - there, shutil.disk_usage(self.cached.folder).free
        if needed > free:
            gigabytes = f"{needed / 2**30:.1f} GiB more, and {free / 2**30:.1f} GiB are free"
            problem = f"needs {gigabytes} for {self.cached.cache}"
            raise HubError(self.cached.name, problem, "free the disk, or set HF_HOME to another folder")


def _useful(name: Any) -> bool:
    return name in (*SETTINGS, INDEX, ADAPTER) or bool(_SHARD.fullmatch(name))


def _listed(entry: Mapping[str, Any]) -> File:
    large = entry.get("lfs")
    size = large["size"] if large else entry["size"]
    if type(size) is not int or size < 0:
        raise ValueError("not a size")  # caught where it is called
    return File(entry["rfilename"], size, _matched(_DIGEST, large["sha256"] if large else entry["blobId"]))


def _shards(index: Path) -> list[str]:
    """The names of the weight files that an index lists."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(_matched(_SHARD, name) for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise HubError(index, "does not list files of weights", "choose another model") from None


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError("not what it has to look like")  # caught where it is called
    return text
