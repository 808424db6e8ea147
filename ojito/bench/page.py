"""A page that shows what answers cost: where the seconds go, and the memory beside what was foretold.

One HTML file without scripts or other files, readable in light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ojito.bench.figures import Bench, Measured

Bar = tuple[str, Sequence[tuple[str, float]]]
"""A bar: what stands before it, and its pieces, each a style and a size."""

_LEFT, _WIDTH, _HEIGHT, _GAP = 170, 640, 18, 10  # of a bar chart, in units of its SVG

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667079; --line: #dfe3e6; --card: #fff; --page: #f6f7f8;
  --a: #2f6fde; --b: #7fb0ff; --c: #13803f; --d: #b9c2ca }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #98a2ab; --line: #30363c; --card: #1d2125;
  --page: #141719; --a: #6ea0f5; --b: #365f9e; --c: #4cc27c; --d: #4d565e } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 960px; padding: 32px 20px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 28px; margin: 0 } h2 { font-size: 20px; margin: 36px 0 8px }
p { color: var(--soft); margin: 4px 0 12px; max-width: 75ch }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; overflow-x: auto }
table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: 600 }
td, th { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums;
  white-space: nowrap }
svg { width: 100%; min-width: 420px; height: auto; display: block } svg text { fill: var(--ink); font-size: 12px }
.a { fill: var(--a) } .b { fill: var(--b) } .c { fill: var(--c) } .d { fill: var(--d) }
.key::before { content: ""; display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 6px 0 0 }
.key { margin-right: 16px } .key.a::before { background: var(--a) } .key.b::before { background: var(--b) }
.key.c::before { background: var(--c) } .key.d::before { background: var(--d) }
"""


def page(found: Bench) -> str:
    """Return the HTML of a page about a measurement."""
    stored = "" if found.quantize == "none" else f", matrices in {found.quantize}"
    machine = ", ".join(f"{name} {_said(value)}" for name, value in found.machine.items())
    seconds = [
        (
            _name(case),
            (
                ("a", case.encode_seconds),
                ("b", max(0.0, case.first_token_seconds - case.encode_seconds)),
                ("c", case.seconds - case.first_token_seconds),
            ),
        )
        for case in found.cases
    ]
    memory: list[Bar] = []
    for case in found.cases:
        told = case.foretold
        pieces = (("d", told.baseline), ("a", told.weights), ("b", told.cache), ("c", told.activations))
        memory.append((f"{_name(case)}, foretold", [(style, size / 1e9) for style, size in pieces]))
        memory.append(("measured", [("d", case.peak / 1e9)]))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(found.name)}</title><style>{_STYLE}</style><body>"
        f"<h1>{escape(found.name)}</h1><p>In {found.dtype}{stored}. {escape(machine)}.</p>"
        f"<p>Loading took {found.load_seconds:.2f} s; the machine reads {found.limits.bytes_per_second / 1e9:.1f} GB/s "
        f"and multiplies {found.limits.operations_per_second / 1e12:.2f} TFLOP/s.</p>"
        f'<div class="panel">{_table(found.cases)}</div>'
        f"<h2>Seconds of an answer</h2><p>{_key(a='image', b='rest of the first token', c='other tokens')}</p>"
        f'<div class="panel">{_bars(seconds, "s")}</div>'
        f"<h2>Memory</h2><p>{_key(d='Python and PyTorch, or all', a='weights', b='cache', c='activations')}</p>"
        f'<div class="panel">{_bars(memory, "GB")}</div></body></html>\n'
    )


def _table(cases: Sequence[Measured]) -> str:
    names = "Batch,Prompt,Tokens,Image s,First token s,ms/token,Tokens/s,Answer s,First answer s,Peak GB,Decoding,First"
    rows = ["<tr>" + "".join(f"<th>{name}" for name in names.split(",")) + "</tr>"]
    for case in cases:
        cells = (
            f"{case.batch}", f"{case.prompt}", f"{case.tokens}", f"{case.encode_seconds:.3f}",
            f"{case.first_token_seconds:.3f}", f"{case.ms_per_token:.1f}", f"{case.tokens_per_second:.1f}",
            f"{case.seconds:.2f}", f"{case.cold_seconds:.2f}", f"{case.peak / 1e9:.2f}",
            f"{case.decode_share:.0%} of memory", f"{case.prompt_share:.0%} of products",
        )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _bars(bars: Sequence[Bar], unit: str) -> str:
    """Draw bars of pieces, the longest over the whole width, as SVG."""
    longest = max(sum(size for _, size in pieces) for _, pieces in bars) or 1.0
    drawn = []
    for number, (name, pieces) in enumerate(bars):
        x, y = float(_LEFT), number * (_HEIGHT + _GAP)
        drawn.append(f'<text x="0" y="{y + 13}">{escape(name)}</text>')
        for style, size in pieces:
            width = (_WIDTH - _LEFT - 80) * size / longest
            drawn.append(f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_HEIGHT}"/>')
            x += width
        total = sum(size for _, size in pieces)
        drawn.append(f'<text x="{x + 6:.1f}" y="{y + 13}">{total:.3g} {unit}</text>')
    height = len(bars) * (_HEIGHT + _GAP)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="bars in {unit}">{"".join(drawn)}</svg>'


def _key(**names: str) -> str:
    return "".join(f'<span class="key {style}">{name}</span>' for style, name in names.items())


def _name(case: Measured) -> str:
    return f"{case.batch} x {case.prompt} tokens"


def _said(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
