"""Where the Hub's models are on this machine: the cache that all programs share. Nothing is fetched here.

A model is on the disk once, whoever fetched it:

    models--owner--name/blobs/7c3e...                        contents, named by their hash
    models--owner--name/snapshots/<commit>/model.safetensors -> ../../blobs/7c3e...
    models--owner--name/refs/main                            a branch's or tag's commit
    .locks/models--owner--name/7c3e....lock                  held by who fetches that content

Source: https://huggingface.co/docs/hub/local-cache, the layout of the cache.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ojito.errors import nearest_name

COMMIT = re.compile(r"[0-9a-f]{40}")
PARTIAL = ".ojito.incomplete"
"""How a content is called that has not wholly come, after its hash."""

_HOME, _SNAPSHOTS = "models--", "snapshots"
_PART_OF_ID = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_NEVER_IN_ID = re.compile(r"--|\.\.|\.git$")
_REVISION = re.compile(r"(?!.*(?:\.\.|//|/\.))\w[\w./+-]{0,199}(?<![/.])", re.ASCII)

_ADDRESS = re.compile(  # in a Path, one slash is left of two
    r"(?:(?:https?:/{1,2})?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:/{1,2})"
    r"(?!(?:datasets|spaces|docs|models|collections|papers|blog)/)(?P<id>[^/?#@\s]+/[^/?#@\s]+?)(?:\.git)?"
    r"(?:(?:/(?:tree|blob|resolve|commit)/|@)(?P<revision>[^/?#\s]+))?(?:[/?#]\S*)?",
    re.ASCII,
)


def cache_folder() -> Path:
    """Return where the cache is, as `huggingface_hub` finds it."""
    at = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if at:
        return Path(os.path.expandvars(at)).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def repository_of(folder: Path) -> str:
    """Return the name, "owner/name", of the repository that a folder is a snapshot of; "" if it is none.

    Args:
        folder: Any, resolved.
    """
    home = folder.parent.parent
    if folder.parent.name != _SNAPSHOTS or not home.name.startswith(_HOME):
        return ""
    name = home.name[len(_HOME) :].replace("--", "/")
    return name if is_hub_id(name) else ""


def is_hub_id(name: str) -> bool:
    """Tell whether this is how the Hub writes a model's id: "owner/name", or "owner/name@revision".

    It may be a path as well: the caller asks first whether there is a folder of that name.
    """
    repository, at, revision = name.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or _NEVER_IN_ID.search(repository):
        return False
    return all(_PART_OF_ID.fullmatch(part) for part in parts) and (not at or bool(_REVISION.fullmatch(revision)))


def hub_id_of(name: str) -> str:
    """Return the id in a pasted page address, or in an id with a trailing slash.

    Returns:
        "owner/name", or "owner/name@revision" from the address of a revision or of a file in it; "" for anything else.
    """
    address = _ADDRESS.fullmatch(name.strip())
    if address:
        revision = address["revision"] or ""
        found = address["id"] + (f"@{revision}" if revision not in ("", "main") else "")
    else:
        found = name.strip().rstrip("/")
    return found if found != name and is_hub_id(found) else ""


@dataclass(frozen=True)
class Cached:
    """Paths in the cache of a repository at a revision.

    Attributes:
        cache: The folder of all repositories.
        name: "owner/name".
        revision: A branch, tag or commit.
    """

    cache: Path
    name: str
    revision: str

    @classmethod
    def of(cls, cache: Path, name: str) -> Cached:
        """Return the paths for a name for which `is_hub_id` holds."""
        name, _, revision = name.partition("@")
        return cls(cache, name, revision or "main")

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return self.cache / f"{_HOME}{self.name.replace('/', '--')}"

    def blob(self, digest: str) -> Path:
        """The path of a blob."""
        return self.folder / "blobs" / digest

    def partial(self, digest: str) -> Path:
        """The path of a blob that is partly downloaded."""
        return self.folder / "blobs" / f"{digest}{PARTIAL}"

    def lock(self, digest: str) -> Path:
        """The lock file that `huggingface_hub` holds while it downloads a blob."""
        return self.cache / ".locks" / self.folder.name / f"{digest}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder of a commit's files."""
        return self.folder / _SNAPSHOTS / commit

    def current(self) -> Path | None:
        """Return the snapshot of the revision's last known commit; None if none was recorded."""
        commit = self._noted() or self.revision
        return self.snapshot(commit) if COMMIT.fullmatch(commit) else None

    def remember(self, commit: str) -> None:
        """Record the commit of the branch or tag."""
        if commit in (self.revision, self._noted()):
            return
        ref = self.folder / "refs" / self.revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        fresh = ref.with_name(f"{ref.name}.{secrets.token_hex(4)}.tmp")
        fresh.write_text(commit, encoding="utf-8")
        os.replace(fresh, ref)

    def _noted(self) -> str:
        ref = self.folder / "refs" / self.revision
        return ref.read_text(encoding="utf-8", errors="replace").strip() if ref.is_file() else ""

    def nearest(self) -> str:
        """The name of another repository in the cache that may have been meant; empty if there is none."""
        others = [path.name[len(_HOME) :].replace("--", "/") for path in self.cache.glob(f"{_HOME}*--*")]
        return nearest_name(self.name, [name for name in others if name != self.name])


def neighbour(folder: Path, name: str) -> Path | None:
    """Return the snapshot of another repository in the cache that a folder is in.

    Args:
        folder: Any.
        name: An id of the Hub.

    Returns:
        None where the folder is no snapshot, or nobody noted where that repository stood.
    """
    folder = folder.resolve()
    home = folder.parent.parent
    if folder.parent.name != _SNAPSHOTS or not home.name.startswith(_HOME):
        return None
    return Cached.of(home.parent, name).current()


def link(blob: Path, path: Path) -> None:
    """Link a blob into a snapshot."""
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:  # Windows without the right to make links: the file itself stands in the snapshot
        os.replace(blob, path)
