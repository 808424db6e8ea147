"""A page that shows two evaluations side by side: their scores with the paired test, and what each said.

It has one small script, which finds text. All else works without it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape

from ojito.evaluate.report import references
from ojito.evaluate.runs import Compared, Prediction
from ojito.processor import ImageError
from ojito.web_page import Tile, document, filters, heading, thumbnail, tiles

LIMIT = 200
"""Questions on a page: with their images some megabytes."""

_MOST_KINDS = 12  # that can be chosen
_CERTAIN = 0.05
_OUTCOMES = {
    "won": "A right, B wrong",
    "lost": "B right, A wrong",
    "both-wrong": "both wrong",
    "both-right": "both right",
}
_GONE = '<div class="gone">{}</div>'
Pair = tuple[Prediction, Prediction]

_TEST = (
    "A − B with the interval in which it lies with 95% probability for other questions of the same kind, and p: how "
    "often runs that do not differ come so far apart."
)

_STYLE = """
.scores td:not(:first-child), .scores th:not(:first-child) { text-align: right; padding: 7px 0 7px 16px }
.scores tr:last-child td { border-bottom: 0 } .scores small { color: var(--soft) }
.pair { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; margin-bottom: 12px;
  display: grid; grid-template-columns: 144px 1fr 1fr; gap: 8px 20px; align-content: start;
  content-visibility: auto; contain-intrinsic-size: auto 180px; overflow-wrap: anywhere }
.pair.not-found { display: none }
.images { grid-row: 1 / span 2; display: grid; gap: 8px; align-content: start }
.images img { width: 100%; border-radius: 8px; display: block }
.gone { border: 1px dashed var(--line); border-radius: 8px; padding: 12px; color: var(--soft); font-size: 13px;
  min-height: 96px }
.asked { grid-column: 2 / -1 } .asked em { color: var(--soft); font-size: 13px; font-style: normal }
.asked h3 { font-size: 17px; margin: 0; font-weight: 600 } .asked p { margin: 0; font-size: 15px; max-width: none }
.said { border-left: 3px solid var(--line); padding: 2px 0 2px 12px } .said b { color: var(--soft); margin-right: 6px }
.said.right { border-color: var(--right) } .said.wrong { border-color: var(--wrong) }
.said { align-self: start } .said small { white-space: nowrap }
.find { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin-bottom: 16px; color: var(--soft);
  font-size: 14px }
.find input { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 999px; padding: 6px 16px; width: min(360px, 100%) }
.find[hidden] { display: none }
@media (max-width: 640px) { .pair { grid-template-columns: 72px 1fr; padding: 12px } .images { grid-row: 1 }
  .asked { grid-column: 2 } .said { grid-column: 1 / -1 } .gone { padding: 6px; min-height: 72px } }
"""

_SCRIPT = """
const box = document.getElementById('find'), count = document.getElementById('count')
const pairs = [...document.querySelectorAll('.pair')]
const texts = pairs.map(pair => pair.textContent.toLowerCase())
function show() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean)
  pairs.forEach((pair, i) => pair.classList.toggle('not-found', !words.every(word => texts[i].includes(word))))
  const left = pairs.filter(pair => getComputedStyle(pair).display !== 'none').length
  count.textContent = left + ' of ' + pairs.length + ' are shown'
}
document.addEventListener('input', show)
box.parentElement.hidden = false
show()
"""


def page(found: Compared, a: str, b: str, *, limit: int = LIMIT) -> str:
    """Return the HTML of a page about two runs.

    Args:
        found: How they differ.
        a: Name of the one.
        b: Name of the other.
        limit: The most questions to show: first those that one has right and the other wrong, in turn, then those that
            both have wrong, and those that both have right; of each first those whose captions differ most.
    """
    shown = in_order(found)[:limit]
    left_out = f" {found.left_out:,} of one run alone are left out." if found.left_out else ""
    kinds = {kind: i for i, kind in enumerate(dict.fromkeys(one.turn.kind for one, _ in shown))}
    cards, missing = "", 0
    for pair in shown:
        card, lost = _card(pair, kinds[pair[0].turn.kind])
        cards, missing = cards + card, missing + lost
    notices = []
    if missing:
        which = "1 image" if missing == 1 else f"{missing:,} images"
        notices.append(
            f"{which} cannot be read where the runs found them. Paths are relative to the folder in which "
            "`ojito eval` was run."
        )
    some = f" The first {len(shown):,} of {found.n:,} are here; --limit shows more." if len(shown) < found.n else ""
    return document(
        f"{a} beside {b}",
        [
            heading("Two runs side by side", f"A is {a}. B is {b}.", notices),
            tiles(_tiles(found)),
            f"<h2>Scores</h2><p>{_TEST}</p>",
            f'<div class="panel">{_scores(found)}</div>',
            f"<h2>Questions and answers</h2><p>{found.n:,} questions of both.{left_out}{some}</p>",
            _filters(shown, kinds),
            '<div class="find" hidden><input id="find" type="search" placeholder="find in questions and answers" '
            'aria-label="Find in questions and answers"><output id="count"></output></div>',
            f"<main>{cards}</main>",
            f"<script>{_SCRIPT}</script>",
        ],
        _STYLE,
    )


def in_order(found: Compared) -> list[Pair]:
    """The questions of both runs in the order in which the page shows them."""
    groups = [sorted(found.of(*how), key=_apart) for how in ((True, False), (False, True), (False,) * 2, (True,) * 2)]
    won, lost, wrong, right = groups
    in_turn = [pair for two in itertools.zip_longest(won, lost) for pair in two if pair is not None]
    return [*in_turn, *wrong, *right]


def _apart(pair: Pair) -> tuple[float, bool]:
    """Sorts pairs: the captions that differ most in their overlap first, then answers that differ."""
    one, other = pair
    return -abs((one.overlap or 0.0) - (other.overlap or 0.0)), one.given == other.given


def _tiles(found: Compared) -> list[Tile]:
    counts = {
        "won": len(found.won),
        "lost": len(found.lost),
        "both-wrong": len(found.of(False, False)),
        "both-right": len(found.of(True, True)),
    }
    return [(f"{counts[name]:,}", text, f"{counts[name] / found.n:.1%} of the questions")
            for name, text in _OUTCOMES.items()]  # fmt: skip


def _scores(found: Compared) -> str:
    rows = ["<tr><th>Score<th>A<th>B<th>A − B<th>95% interval<th>p<th></tr>"]
    for name, (one, other, gap) in found.scores.items():
        said = "" if gap.p < _CERTAIN else "<small>may be chance</small>"
        rows.append(
            f"<tr><td>{escape(name)}<td>{one:.3f}<td>{other:.3f}<td>{gap.difference:+.3f}"
            f"<td>{gap.low:+.3f} to {gap.high:+.3f}<td>{gap.p:.4f}<td>{said}</tr>"
        )
    return f'<table class="scores">{"".join(rows)}</table>'


def _filters(shown: Sequence[Pair], kinds: dict[str, int]) -> str:
    there = {_outcome(pair) for pair in shown}
    choices = [("show-all", "all"), *((f"show-{name}", text) for name, text in _OUTCOMES.items() if name in there)]
    made = filters("show", choices, [(f"show-{name}", f".pair:not(.{name})") for name in _OUTCOMES if name in there])
    if 1 < len(kinds) <= _MOST_KINDS:
        choices = [("kind-all", "all kinds"), *((f"kind-{i}", kind or "no kind") for kind, i in kinds.items())]
        made += filters("kind", choices, [(f"kind-{i}", f".pair:not(.of-kind-{i})") for i in kinds.values()])
    return made


def _outcome(pair: Pair) -> str:
    one, other = (half.right for half in pair)
    return ("both-right" if one else "both-wrong") if one == other else "won" if one else "lost"


def _card(pair: Pair, kind: int) -> tuple[str, int]:
    """HTML of a question with both answers, and how many of its images cannot be read."""
    one = pair[0]
    images = [_image(path, f"image asked about: {one.turn.prompt or 'caption'}") for path in one.images or (None,)]
    drawn = "".join(image for image, _ in images)
    about = " · ".join(filter(None, (one.turn.kind, one.origin)))
    said = "".join(_said(name, half) for name, half in zip("AB", pair, strict=True))
    card = (
        f'<article class="pair {_outcome(pair)} of-kind-{kind}"><div class="images">{drawn}</div>'
        f'<div class="asked"><em>{escape(about)}</em><h3>{escape(one.turn.prompt or "caption")}</h3>'
        f"<p>expected: {escape(references(one.turn))}</p></div>{said}</article>"
    )
    return card, sum(not there for _, there in images)


def _said(name: str, one: Prediction) -> str:
    style, sign = ("right", "✓ right") if one.right else ("wrong", "✗ wrong")
    if one.overlap is not None and not one.right:
        style, sign = "", f"overlap {one.overlap:.2f}"
    return f'<div class="said {style}"><b>{name}</b>{escape(one.given) or "(nothing)"} <small>{sign}</small></div>'


def _image(path: str | None, alt: str) -> tuple[str, bool]:
    """HTML of an image, and whether it is where the run found it."""
    if path is None:
        return _GONE.format("no image file"), True
    try:
        return thumbnail(path, alt), True
    except ImageError as error:
        return _GONE.format(escape(str(error))), False
