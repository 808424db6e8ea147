"""Links between pages: as they stand in the repository, and where they lead on the site.

Every page links as a reader of the repository needs it: `../README.md`, `adr/0019-packing.md`. On the site README.md
and the lessons are generated pages, a folder is the page about it, and a file that is no page is a download.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = {
    "README.md": "generated/overview.md",
    "CHANGELOG.md": "generated/changes.md",
    "recipes": "generated/recipes.md",
    "recipes/README.md": "generated/recipes.md",
    "benchmarks": "generated/benchmarks.md",
    "benchmarks/README.md": "generated/benchmarks.md",
    "docs": "index.md",
    "docs/adr": "adr/index.md",
    "docs/diagrams": "diagrams.md",
    "ojito/learn/course": "generated/learn/index.md",
}
"""Files and folders that are a page of the site by another path: from the repository's root, and from docs/."""

LESSON = re.compile(r"ojito/learn/course/(\w+)(?:/lesson\.md)?")

_FENCE = re.compile(r"^ *(`{3,}|~{3,}|:{3,}\{toctree\}).*?^ *\1 *$", re.M | re.S)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)


def links(text: str) -> Iterator[str]:
    """Yield the targets of a page's links and images that lead to this repository, without those in code."""
    for target in _LINK.findall(_CODE.sub("`code`", _FENCE.sub("", text))):
        if not _ELSEWHERE.match(target):
            yield target


def anchors(text: str) -> set[str]:
    """Return what a link into a page may name after the `#`: its headings, as GitHub and MyST spell them."""
    found: set[str] = set()
    prose = _FENCE.sub("", text)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found | {*re.findall(r"\{#([\w.-]+)\}", prose)} | {*re.findall(r"^\(([\w.-]+)\)=$", prose, re.M)}


def relinked(text: str, home: str, page: str) -> str:
    """Return a page's text with its links as the site needs them.

    Args:
        text: Markdown.
        home: File that the text is from, from the repository's root: "README.md".
        page: Where the site shows it, from docs/: "generated/overview.md".
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    hidden = re.sub(_FENCE, keep, text)
    moved = _LINK.sub(lambda found: _moved(found[0], home, page), hidden)
    # A folder without a page of its own has nothing to show: its name stays, without the link.
    moved = re.sub(r"(?<!!)\[([^\]]*)\]\(\)", r"\1", moved)
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], moved)


def _moved(target: str, home: str, page: str) -> str:
    path, hash_, anchor = target.partition("#")
    if not path or _ELSEWHERE.match(target):
        return target
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
    if inside in PAGES:
        place = PAGES[inside]
    elif lesson := LESSON.fullmatch(inside):
        place = f"generated/learn/{lesson[1]}.md"
    elif (ROOT / inside).is_dir():
        return ""
    else:
        place = posixpath.relpath(inside, "docs")
    return posixpath.relpath(place, posixpath.dirname(page) or ".") + hash_ + anchor


def broken(text: str, home: Path, generated: dict[str, Callable[[], str]]) -> list[str]:
    """Return the links of a page that lead nowhere, each with what is missing.

    Args:
        text: Markdown.
        home: Its file.
        generated: Pages that the site makes, by their path from docs/, each with what writes it.
    """
    missing = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        place = (home.parent / path).resolve() if path else home.resolve()
        docs = ROOT / "docs"
        inside = place.relative_to(docs).as_posix() if place.is_relative_to(docs) else ""
        if inside in generated:
            known = anchors(generated[inside]()) if anchor else set()
        elif place.exists():
            known = anchors(place.read_text(encoding="utf-8")) if anchor and place.suffix == ".md" else set()
        else:
            missing.append(f"{target}: no such file")
            continue
        if anchor and anchor not in known:
            missing.append(f"{target}: no such heading")
    return missing
