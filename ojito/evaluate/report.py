"""A page that shows an evaluation: scores beside their controls, the loss curve, images with the model's answers.

One HTML file without scripts or other files, readable in light and dark.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from ojito.evaluate.chance import kinds_at_chance
from ojito.evaluate.confusion import Confused, confusion
from ojito.evaluate.metrics.score import signed
from ojito.evaluate.runner import Graded, Report, Scores, by_kind
from ojito.records import Turn, image_key
from ojito.web_page import Tile, document, filters, heading, thumbnail
from ojito.web_page import tiles as tiles_of

CARDS = 24
"""Images on a page."""

_REFERENCES = 5  # of a question on the page

_CONTROLS = (
    "The bars below it are the controls: the same questions about a blank image and about the image of another "
    "row. What is not above them did not come from looking."
)

_INTERVALS = (
    "Each score with the interval in which it lies with 95% probability for other samples of the same kind, and by how "
    "much it is above the same questions asked with less of the image."
)

_LOSSES = (
    "The loss of the expected answers, in nats a token, with the image and with less of it. It tells whether a model "
    "looks long before an answer changes."
)

_MAPS = (
    "A map shows which parts of the image speak for a word of the answer, brightest where most: for the word to which "
    "the image is worth most. Beside it, how likely the word was, and how likely when the image has one even colour."
)

_COLUMNS = 2  # controls beside a score
_MOST_KINDS = 12  # that can be chosen to be shown alone

_STYLE = """
.bar { background: var(--line); border-radius: 3px; height: 7px; margin: 3px 0; min-width: 120px }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--blind) }
.bar .seen { background: var(--seen) }
.card em { display: block; color: var(--soft); font-size: 13px; font-style: normal; margin-bottom: 8px }
.card figure { margin: 8px 0 12px } figcaption { color: var(--soft); font-size: 13px; margin-top: 4px }
@media (max-width: 640px) { .kinds tr > :last-child { display: none } }
"""


@dataclass(frozen=True)
class AnswerMap:
    """Where in the image a word of an answer comes from.

    Attributes:
        image: The image with the map over it; None where there is none.
        says: What it shows, or why there is none.
    """

    image: Image.Image | None
    says: str


def page(
    title: str,
    about: str,
    report: Report,
    *,
    tiles: Sequence[Tile] = (),
    losses: Sequence[Mapping[str, Any]] = (),
    cards: int = CARDS,
    notices: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
    grounding: Mapping[str, Any] | None = None,
    sections: Sequence[str] = (),
    seed: int = 0,
    maps: Mapping[int, AnswerMap] | None = None,
) -> str:
    """Return the HTML of a page about an evaluation.

    Args:
        title: Its headline.
        about: One or two sentences below it.
        report: The evaluation.
        tiles: Numbers for the top; left out, the report's own.
        losses: Lines of a training log with `seconds` and `loss`, for the curve; lines whose loss is None are left out.
        cards: The most images to show. Half of them are the worst, the others are drawn; the kinds of their questions
            come in turn.
        notices: What to know before anything else, a paragraph each.
        metrics: Scores with their intervals, as `scores_to_dict` gives them.
        grounding: Of each control, what `grounding_to_dict` gives.
        sections: HTML of further sections, after the scores.
        seed: Decides which images are drawn.
        maps: Where in the image answers come from, by the number of their question.
    """
    notices = [*notices, *own_notices(report)]
    captions = "" if report.scores.overlap is None else "; of captions, word overlap"
    controls = _CONTROLS if report.blank or report.exchanged else ""
    parts = [
        heading(title, about, notices),
        tiles_of(tiles or _own_tiles(report)),
        "<h2>By kind of question</h2>",
        f"<p>Blue is the share of right answers{captions}. {controls}</p>",
        f'<div class="panel">{_table(report)}</div>',
    ]
    if metrics:
        parts += ["<h2>Scores</h2>", f"<p>{_INTERVALS}</p>", f'<div class="panel">{_scores(metrics)}</div>']
    parts += sections
    if grounding:
        parts += [
            "<h2>Without the image</h2>",
            f"<p>{_LOSSES}</p>",
            f'<div class="panel">{_grounding(grounding)}</div>',
        ]
    confused = confusion(report)
    if confused:
        parts += ["<h2>Wrong answers that come again</h2>", f'<div class="panel">{_confusion(confused)}</div>']
    losses = [line for line in losses if line["loss"] is not None]
    if len(losses) > 1:
        parts += ["<h2>Loss while training</h2>", f'<div class="panel">{_curve(losses)}</div>']
    shown = _cards(report.graded, cards, seed, maps or {})
    parts += [
        "<h2>Images and answers</h2>",
        f"<p>{_MAPS}</p>" if maps else "",
        _filters([*report.per_kind]),
        f'<div class="cards">{shown}</div>',
    ]
    return document(title, parts, _STYLE)


def shown_first(graded: Sequence[Graded], count: int, *, cards: int = CARDS, seed: int = 0) -> list[Graded]:
    """Return the first questions on a page, those with the worst answers first.

    Args:
        graded: All of the evaluation.
        count: The most questions.
        cards: As for `page`.
        seed: As for `page`.
    """
    shown = [one for _, group in _chosen(graded, cards, seed) for one in group]
    return sorted(shown, key=lambda one: _goodness([one]))[:count]


def read_losses(folder: Path | str) -> list[dict[str, Any]]:
    """Return the log of a model's last training, for the curve; empty where its folder has none that can be read."""
    try:
        lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        log = [line for line in map(json.loads, lines) if "loss" in line and "seconds" in line]
    except (OSError, ValueError, TypeError):
        return []
    starts = [i for i in range(1, len(log)) if log[i]["step"] <= log[i - 1]["step"]]
    return log[starts[-1] if starts else 0 :]


def own_notices(report: Report) -> list[str]:
    """What a reader must know about the scores: answers that were cut off, and kinds of question at chance."""
    notices = []
    if report.scores.cut:
        at = f" at {report.limit} tokens" if report.limit else ""
        notices.append(f"{report.scores.cut} of {report.scores.n} answers were cut off{at}.")
    found = kinds_at_chance(report)
    if found:
        kinds = "; ".join(one.said for one in found)
        notices.append(f"At chance, so that nothing shows that the model looks. {kinds}.")
    return notices


def _own_tiles(report: Report) -> list[Tile]:
    scores = report.scores
    tiles = [(f"{scores.exact_match:.1%}", "exact match", f"{scores.n} questions")]
    if scores.overlap is not None:
        tiles.append((f"{scores.overlap:.3f}", "word overlap", "captions, 0 to 1"))
    for name, graded in (("blank image", report.blank), ("exchanged image", report.exchanged)):
        if graded:
            tiles.append((f"{Scores.of(graded).exact_match:.1%}", name, "exact match without looking"))
    return tiles


def _table(report: Report) -> str:
    blank, exchanged = by_kind(report.blank), by_kind(report.exchanged)
    rows = ["<tr><th>Kind<th>Questions<th>Right<th>Blank<th>Exchanged<th></tr>"]
    for kind, scores in report.per_kind.items():
        cells, bars = "", ""
        for beside, style in ((scores, "seen"), (blank.get(kind), ""), (exchanged.get(kind), "")):
            share = 0.0 if beside is None else beside.exact_match if beside.overlap is None else beside.overlap
            value = "–" if beside is None else f"{share:.0%}" if beside.overlap is None else f"{share:.2f}"
            cells += f"<td>{value}"
            if beside is not None:
                bars += f'<div class="bar"><i class="{style}" style="width:{share:.1%}"></i></div>'
        rows.append(f"<tr><td>{escape(kind)}<td>{scores.n}{cells}<td>{bars}</tr>")
    return f'<table class="kinds">{"".join(rows)}</table>'


def _scores(metrics: Mapping[str, Any]) -> str:
    controls = [key for key in next(iter(metrics.values())) if key.startswith("above_")][:_COLUMNS]
    heads = "".join(f"<th>Above {escape(key.removeprefix('above_'))}" for key in controls)
    rows = [f"<tr><th>Score<th>Questions<th>Value<th>95% interval{heads}</tr>"]
    for name, one in metrics.items():
        cells = f"<td>{one['n']}<td>{one['score']:.3f}<td>{one['low']:.3f} to {one['high']:.3f}"
        for key in controls:
            cells += "<td>" + (signed(one[key]) if key in one else "")
        rows.append(f"<tr><td>{escape(name)}{cells}</tr>")
    return f'<table class="scores">{"".join(rows)}</table>'


def _grounding(grounding: Mapping[str, Any]) -> str:
    rows = ["<tr><th>Asked with<th>Right<th>Loss<th>Above that with the image</tr>"]
    for name, one in grounding.items():
        rows.append(
            f"<tr><td>{escape(name)}<td>{one['exact_match']:.1%}<td>{one['loss']:.3f}<td>{signed(one['loss_above'])}</tr>"
        )
    return f'<table class="scores">{"".join(rows)}</table>'


def _filters(kinds: Sequence[str]) -> str:
    """Draw what chooses the images that are shown: all, with a wrong answer, without one, or of one kind."""
    choices = [("show-all", "all"), ("show-wrong", "wrong"), ("show-right", "right")]
    hides = [("show-wrong", ".card:not(.has-wrong)"), ("show-right", ".card.has-wrong")]
    if 1 < len(kinds) <= _MOST_KINDS:
        choices += [(f"show-kind-{i}", kind) for i, kind in enumerate(kinds)]
        hides += [(f"show-kind-{i}", f".card:not(.kind-{i})") for i in range(len(kinds))]
    return filters("show", choices, hides)


def _confusion(confused: Sequence[Confused]) -> str:
    rows = ["<tr><th>Kind<th>Expected<th>Given<th>Times</tr>"]
    for pair in confused:
        texts = (escape(text) or "(nothing)" for text in (pair.kind, pair.expected, pair.given))
        rows.append(f"<tr><td>{'<td>'.join(texts)}<td class='count'>{pair.count} of {pair.of}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _curve(losses: Sequence[Mapping[str, Any]], width: int = 480, height: int = 260) -> str:
    """Draw the loss, on a logarithmic scale, against time, as SVG with its axes."""
    left, bottom, top, right = 44, 44, 14, 14
    end = max(line["seconds"] for line in losses) or 1.0
    positive = [line["loss"] for line in losses if line["loss"] > 0] or [1.0]
    low, high = min(positive), max(positive)
    if high < 1.1 * low:  # a line that is flat stands in the middle
        low, high = low / 1.5, high * 1.5
    span = math.log(high / low)
    unit, size = next(((u, s) for u, s in (("h", 3600), ("min", 60)) if end >= 3 * s), ("s", 1))

    def at(seconds: float, loss: float) -> tuple[float, float]:
        height_of = math.log(max(loss, low) / low) / span  # what is 0 has no place on such a scale
        return left + (width - left - right) * seconds / end, top + (height - top - bottom) * (1 - height_of)

    base = height - bottom
    axes = [
        f'<text x="{width - right}" y="{height - 4}" text-anchor="end">{unit} of training</text>',
        f'<text x="{left}" y="{height - 4}">loss per token, in nats</text>',
    ]
    for value in _ticks(end / size):
        x, _ = at(value * size, low)
        axes.append(f'<text x="{x:.0f}" y="{base + 18}" text-anchor="middle">{value:g}</text>')
    for value in log_ticks(low, high):
        _, y = at(0, value)
        axes.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{value:g}</text>')
        axes.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.0f}" y2="{y:.0f}" stroke="var(--line)"/>')
    points = " ".join("{:.1f},{:.1f}".format(*at(line["seconds"], line["loss"])) for line in losses)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Loss from {losses[0]["loss"]:.2f} to '
        f'{losses[-1]["loss"]:.2f} in {end:.0f} seconds">{"".join(axes)}'
        f'<polyline points="{points}" fill="none" stroke="var(--seen)" stroke-width="2.5"/></svg>'
    )


def _ticks(end: float) -> list[float]:
    """Round numbers from 0 to `end`, four to eight of them."""
    power = 10.0 ** math.floor(math.log10(end))
    step = next(step for step in (power / 5, power / 2, power, 2 * power) if end / step < 7)
    return [float(f"{i * step:.6g}") for i in range(int(end / step * 1.000001) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two, at most eight of them, for a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) <= 8:
            break
    else:
        found = found[:: -(-len(found) // 8)]
    return found if len(found) > 1 else [float(f"{low:.2g}"), float(f"{high:.2g}")]


def _cards(graded: Sequence[Graded], most: int, seed: int, maps: Mapping[int, AnswerMap]) -> str:
    """Draw a card for each image with all that was asked about it."""
    kinds = {kind: i for i, kind in enumerate(by_kind(graded))}
    return "".join(_card(group, kinds, label, maps) for label, group in _chosen(graded, most, seed))


def _chosen(graded: Sequence[Graded], most: int, seed: int) -> list[tuple[str, Sequence[Graded]]]:
    """What was asked about each image that is shown: half of them the worst, the others drawn; and which it is."""
    groups: dict[object, list[Graded]] = {}
    for one in graded:
        if one.sample.images:
            image = one.sample.images[0]
            groups.setdefault(image_key(image), []).append(one)
    every = [*groups.values()]
    if len(every) <= most:
        return [("", group) for group in sorted(_in_turn(every), key=_goodness)]
    bad = sorted((group for group in every if _goodness(group) < 1), key=_goodness)
    worst = _in_turn(bad[: most // 2])
    shown = set(map(id, worst))
    others = [group for group in every if id(group) not in shown]
    random.Random(f"{seed} cards").shuffle(others)
    drawn = _in_turn(others)[: most - len(worst)]
    return [("among the worst", group) for group in sorted(worst, key=_goodness)] + [("drawn", one) for one in drawn]


def _goodness(group: Sequence[Graded]) -> float:
    """Mean score of the questions about an image; word overlap, where it is of captions."""
    scores = [float(one.right) if one.overlap is None else max(one.overlap, float(one.right)) for one in group]
    return sum(scores) / len(scores)


def _in_turn(groups: Sequence[Sequence[Graded]]) -> list[Sequence[Graded]]:
    """The groups in such an order that the kinds of their first questions come in turn."""
    of_kind: dict[str, list[Sequence[Graded]]] = {}
    for group in groups:
        of_kind.setdefault(group[0].kind, []).append(group)
    return [group for kinds in itertools.zip_longest(*of_kind.values()) for group in kinds if group]


def _card(graded: Sequence[Graded], kinds: Mapping[str, int], label: str, maps: Mapping[int, AnswerMap]) -> str:
    answers = []
    for one in graded:
        style, sign = ("right", "✓ right") if one.right else ("wrong", "✗ wrong")
        if one.overlap is not None and not one.right:
            style, sign = "", f"overlap {one.overlap:.2f}"
        if one.finish == "length":
            sign += ", cut off"
        wanted = "" if one.right else f'<dd class="wanted">expected: {escape(references(one.turn))}</dd>'
        question = escape(one.turn.prompt or "caption")
        answers.append(
            f'<dt>{question}</dt><dd class="{style}">{escape(one.given) or "(nothing)"} <small>{sign}</small></dd>'
            + wanted
            + (_figure(maps[one.number]) if one.number in maps else "")
        )
    alt = f"image asked about: {graded[0].turn.prompt or 'caption'}"
    image = thumbnail(graded[0].sample.images[0], alt, sys.maxsize)  # the model read it: its limit was kept
    head = f"<em>{label}</em>" if label else ""
    wrong = " has-wrong" * any(not one.right for one in graded)
    style = "card" + wrong + "".join(f" kind-{i}" for i in sorted({kinds[one.kind] for one in graded}))
    return f'<div class="{style}">{head}{image}<dl>{"".join(answers)}</dl></div>'


def _figure(one: AnswerMap) -> str:
    image = "" if one.image is None else thumbnail(one.image, "map over the image")
    return f"<dd><figure>{image}<figcaption>{escape(one.says)}</figcaption></figure></dd>"


def references(turn: Turn) -> str:
    """The expected answers: of those of many people each once, the most frequent first; of captions the first few."""
    answers = [answer for answer, _ in Counter(turn.answers).most_common()]
    more = len(answers) - _REFERENCES
    return " | ".join(answers[:_REFERENCES]) + (f" | and {more} more" if more > 0 else "")
