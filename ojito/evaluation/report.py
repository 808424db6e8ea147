"""A page that shows an evaluation: scores beside their controls, the loss curve, images with the model's answers.

One HTML file without scripts or other files, readable in light and dark.
"""

from __future__ import annotations

import base64
import io
import itertools
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ojito.evaluation.runner import Graded, Report, Scores, by_kind
from ojito.processor.images import open_image

Tile = tuple[str, str, str]
"""A number on top of the page: its value, its name, a remark."""

_SIDE = 224  # pixels of an image on the page

_CONTROLS = (
    "The bars below it are the controls: the same questions about a blank image and about the image of another "
    "row. What is not above them did not come from looking."
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667079; --line: #dfe3e6; --card: #fff; --page: #f6f7f8;
  --right: #13803f; --wrong: #b93325; --seen: #2f6fde; --blind: #b9c2ca }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #98a2ab; --line: #30363c; --card: #1d2125;
  --page: #141719; --right: #4cc27c; --wrong: #f0806f; --seen: #6ea0f5; --blind: #4d565e } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 30px; margin: 0 } h2 { font-size: 20px; margin: 40px 0 12px }
p { color: var(--soft); margin: 4px 0 16px; max-width: 75ch }
.tiles, .cards { display: grid; gap: 16px }
.tiles { grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); margin-top: 24px }
.cards { grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)) }
.tile, .card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px }
.tile b { display: block; font-size: 30px; line-height: 1.2 } .tile span { display: block; color: var(--soft) }
.card img { width: 100%; border-radius: 8px; image-rendering: pixelated; display: block }
.card dl { margin: 12px 0 0; font-size: 15px } dt { color: var(--soft); margin-top: 6px } dd { margin: 0 }
.right { color: var(--right) } .wrong { color: var(--wrong) } .wanted { color: var(--soft) }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: 600 }
td, th { padding: 7px 10px 7px 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
.bar { background: var(--line); border-radius: 3px; height: 7px; margin: 3px 0; min-width: 120px }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--blind) }
.bar .seen { background: var(--seen) }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--soft); font-size: 13px }
"""


def page(
    title: str,
    about: str,
    report: Report,
    *,
    tiles: Sequence[Tile] = (),
    losses: Sequence[Mapping[str, Any]] = (),
    cards: int = 24,
) -> str:
    """Return the HTML of a page about an evaluation.

    Args:
        title: Its headline.
        about: One or two sentences below it.
        report: The evaluation.
        tiles: Numbers for the top; left out, the report's own.
        losses: Lines of a training log with `seconds` and `loss`, for the curve; lines whose loss is None are left out.
        cards: The most images to show; their questions come from all kinds in turn.
    """
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(about)}</p>",
        f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles or _own_tiles(report))}</div>',
        "<h2>By kind of question</h2>",
        f"<p>Blue is the share of right answers. {_CONTROLS if report.blank or report.exchanged else ''}</p>",
        f'<div class="panel">{_table(report)}</div>',
    ]
    losses = [line for line in losses if line["loss"] is not None]
    if len(losses) > 1:
        parts += ["<h2>Loss while training</h2>", f'<div class="panel">{_curve(losses)}</div>']
    parts += ["<h2>Images and answers</h2>", f'<div class="cards">{_cards(report.graded, cards)}</div>']
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def write_page(path: Path | str, html: str) -> None:
    """Write a page to a file, whose folder is made where it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def _own_tiles(report: Report) -> list[Tile]:
    scores = report.scores
    tiles = [(f"{scores.exact_match:.1%}", "exact match", f"{scores.n} questions")]
    if scores.overlap is not None:
        tiles.append((f"{scores.overlap:.3f}", "word overlap", "captions, 0 to 1"))
    for name, graded in (("blank image", report.blank), ("exchanged image", report.exchanged)):
        if graded:
            tiles.append((f"{Scores.of(graded).exact_match:.1%}", name, "exact match without looking"))
    return tiles


def _tile(value: str, name: str, remark: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b>{escape(name)}<span>{escape(remark)}</span></div>'


def _table(report: Report) -> str:
    blank, exchanged = by_kind(report.blank), by_kind(report.exchanged)
    rows = ["<tr><th>Kind<th>Questions<th>Right<th>Blank<th>Exchanged<th></tr>"]
    for kind, scores in report.per_kind.items():
        cells, bars = "", ""
        for beside, style in ((scores, "seen"), (blank.get(kind), ""), (exchanged.get(kind), "")):
            cells += f"<td>{'–' if beside is None else f'{beside.exact_match:.0%}'}"
            if beside is not None:
                bars += f'<div class="bar"><i class="{style}" style="width:{beside.exact_match:.1%}"></i></div>'
        rows.append(f"<tr><td>{escape(kind)}<td>{scores.n}{cells}<td>{bars}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _curve(losses: Sequence[Mapping[str, Any]], width: int = 1040, height: int = 260) -> str:
    """Draw the loss against seconds, as SVG with its axes."""
    left, bottom, top = 44, 34, 12
    end, most = max(line["seconds"] for line in losses), max(line["loss"] for line in losses)
    end, most = end or 1.0, most or 1.0

    def at(seconds: float, loss: float) -> tuple[float, float]:
        return left + (width - left - 12) * seconds / end, top + (height - top - bottom) * (1 - loss / most)

    axes = []
    for i in range(5):
        x, base = at(end * i / 4, 0)
        _, y = at(0, most * i / 4)
        anchor = "end" if i == 4 else "middle"  # the last one would stand out of the drawing
        axes.append(f'<text x="{x:.0f}" y="{base + 20:.0f}" text-anchor="{anchor}">{end * i / 4:.0f} s</text>')
        axes.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{most * i / 4:.1f}</text>')
        axes.append(f'<line x1="{left}" x2="{width - 12}" y1="{y:.0f}" y2="{y:.0f}" stroke="var(--line)"/>')
    points = " ".join("{:.1f},{:.1f}".format(*at(line["seconds"], line["loss"])) for line in losses)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Loss from {losses[0]["loss"]:.2f} to '
        f'{losses[-1]["loss"]:.2f} in {end:.0f} seconds">{"".join(axes)}'
        f'<polyline points="{points}" fill="none" stroke="var(--seen)" stroke-width="2.5"/></svg>'
    )


def _cards(graded: Sequence[Graded], most: int) -> str:
    """Draw a card for each image with all that was asked about it, and the kinds of the first questions in turn."""
    groups: dict[object, list[Graded]] = {}
    for one in graded:
        if one.sample.images:
            image = one.sample.images[0]
            groups.setdefault(str(image) if isinstance(image, (str, Path)) else id(image), []).append(one)
    of_kind: dict[str, list[list[Graded]]] = {}
    for group in groups.values():
        of_kind.setdefault(group[0].kind, []).append(group)
    rounds = itertools.zip_longest(*of_kind.values())
    in_turn = [group for kinds in rounds for group in kinds if group]
    return "".join(_card(group) for group in in_turn[:most])


def _card(graded: Sequence[Graded]) -> str:
    answers = []
    for one in graded:
        style, sign = ("right", "✓ right") if one.right else ("wrong", "✗ wrong")
        if one.overlap is not None and not one.right:
            style, sign = "", f"overlap {one.overlap:.2f}"
        wanted = "" if one.right else f'<dd class="wanted">expected: {escape(one.turn.answers[0])}</dd>'
        question = escape(one.turn.prompt or "caption")
        answers.append(
            f'<dt>{question}</dt><dd class="{style}">{escape(one.given) or "(nothing)"} <small>{sign}</small></dd>'
            + wanted
        )
    alt = escape(f"image asked about: {graded[0].turn.prompt or 'caption'}", quote=True)
    return f'<div class="card"><img alt="{alt}" src="{_data_uri(graded[0])}"><dl>{"".join(answers)}</dl></div>'


def _data_uri(graded: Graded) -> str:
    image = open_image(graded.sample.images[0], max_pixels=sys.maxsize)  # the model read it: its limit was kept
    if max(image.size) > _SIDE:
        image = ImageOps.contain(image, (_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
