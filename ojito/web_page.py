"""What the pages share that show answers beside images: their style, tiles, filters, thumbnails.

A page is one HTML file that loads nothing, readable in light and dark, on a screen and on a phone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from ojito.config import ImageConfig
from ojito.processor.images import open_image

if TYPE_CHECKING:
    from ojito.records import ImageLike

Tile = tuple[str, str, str]
"""A number on top of a page: its value, its name, a remark."""

SIDE = 224  # pixels of the longer side of an image on a page
_DRAWN = 64  # pixels up to which an image is embedded as it is, and enlarged without blur
_QUALITY = 85  # of JPEG

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667079; --line: #dfe3e6; --card: #fff; --page: #f6f7f8;
  --right: #13803f; --wrong: #b93325; --seen: #2f6fde; --blind: #b9c2ca; --warm: #9a6500 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #98a2ab; --line: #30363c; --card: #1d2125;
  --page: #141719; --right: #4cc27c; --wrong: #f0806f; --seen: #6ea0f5; --blind: #4d565e; --warm: #e0b050 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 30px; margin: 0; overflow-wrap: anywhere } h2 { font-size: 20px; margin: 40px 0 12px }
p { color: var(--soft); margin: 4px 0 16px; max-width: 75ch; overflow-wrap: anywhere }
.tiles, .cards { display: grid; gap: 16px }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(180px, 100%), 1fr)); margin-top: 24px }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(250px, 100%), 1fr)) }
.tile, .card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px }
.tile b { display: block; font-size: 30px; line-height: 1.2 } .tile span { display: block; color: var(--soft) }
.card img { width: 100%; border-radius: 8px; display: block } img.drawn { image-rendering: pixelated }
.card dl { margin: 12px 0 0; font-size: 15px } dt { color: var(--soft); margin-top: 6px } dd { margin: 0 }
.right { color: var(--right) } .wrong { color: var(--wrong) } .wanted { color: var(--soft) }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: 600 }
td, th { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
svg { width: 100%; max-width: 600px; height: auto; display: block } svg text { fill: var(--soft); font-size: 13px }
.notice { border-left: 4px solid var(--wrong); padding-left: 12px; color: var(--ink) }
.filters { display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 16px }
.filters label { border: 1px solid var(--line); border-radius: 999px; padding: 2px 12px; font-size: 14px }
.filters label:has(:checked) { background: var(--seen); border-color: var(--seen); color: var(--card) }
.filters input[type=radio] { position: absolute; opacity: 0 }
.filters label:has(:focus-visible) { outline: 2px solid var(--ink) }
.tile, .card, td { overflow-wrap: anywhere } th, .count { white-space: nowrap } .panel { overflow-x: auto }
.scores td, .kinds td:not(:first-child) { white-space: nowrap; overflow-wrap: normal }
@media (max-width: 640px) {
  body { padding: 20px 12px } h1 { font-size: 24px } .tile, .card, .panel { padding: 12px }
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px } .tile b { font-size: 24px }
  table { font-size: 14px } td, th { padding-right: 6px } th { font-size: 12px }
}
"""


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """Return the HTML of a page.

    Args:
        title: In the browser's tab; it is escaped here.
        parts: HTML of its parts, in order.
        style: CSS of this page alone.
    """
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style><body>{''.join(parts)}</body></html>\n"
    )


def heading(title: str, about: str, notices: Sequence[str] = ()) -> str:
    """Return the top of a page: its headline, what it is about, and what to know before anything else."""
    told = "".join(f'<p class="notice">{escape(notice)}</p>' for notice in notices)
    return f"<h1>{escape(title)}</h1><p>{escape(about)}</p>{told}"


def tiles(shown: Sequence[Tile]) -> str:
    """Return numbers in large, each with its name and a remark."""
    each = (
        f'<div class="tile"><b>{escape(value)}</b>{escape(name)}<span>{escape(remark)}</span></div>'
        for value, name, remark in shown
    )
    return f'<div class="tiles">{"".join(each)}</div>'


def filters(group: str, choices: Sequence[tuple[str, str]], hides: Sequence[tuple[str, str]] = ()) -> str:
    """Return buttons of which one is chosen, the first at the beginning. They work without a script.

    Args:
        group: Their name, which no others on the page have.
        choices: Of each the id and the text.
        hides: The id of a choice, and the CSS selector of what is hidden while it is chosen.
    """
    rules = "".join(f"body:has(#{name}:checked) {hidden} {{ display: none }}\n" for name, hidden in hides)
    labels = "".join(
        f'<label><input type="radio" name="{group}" id="{name}"{" checked" * (not number)}>{escape(text)}</label>'
        for number, (name, text) in enumerate(choices)
    )
    return f'<style>{rules}</style><div class="filters" role="radiogroup" aria-label="Show">{labels}</div>'


def thumbnail(image: ImageLike, alt: str, max_pixels: int = ImageConfig.max_pixels) -> str:
    """Return an `<img>` with the image in it, upright, its longer side at most `SIDE` pixels.

    Args:
        image: A path, encoded bytes, a PIL image, or one inside another file.
        alt: What stands for it where it is not shown.
        max_pixels: Refuse larger ones, before decoding them.

    Raises:
        ImageError: It cannot be read.
    """
    opened = open_image(image, max_pixels)
    if max(opened.size) > SIDE:
        opened = ImageOps.contain(opened, (SIDE, SIDE), Image.Resampling.LANCZOS)
    drawn = max(opened.size) <= _DRAWN
    encoded = [("png", _encode(opened, "PNG"))]
    if not drawn:  # a photograph takes an eighth of the bytes as JPEG, a drawing less as PNG
        encoded.append(("jpeg", _encode(opened, "JPEG", quality=_QUALITY)))
    kind, content = min(encoded, key=lambda one: len(one[1]))
    style = ' class="drawn"' * drawn
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(alt, quote=True)}" src="data:image/{kind};base64,{data}"{style}>'


def write_page(path: Path | str, html: str) -> None:
    """Write a page to a file, whose folder is made where it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def _encode(image: Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
