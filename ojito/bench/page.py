"""A page that shows what answers cost: where the seconds go, and the memory beside what was foretold.

One HTML file without scripts or other files, readable in light and dark, on a screen and on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ojito.bench.figures import Bench, Measured

_PIECES = {
    "image": "a", "prompt": "b", "decoding": "c",
    "Python and PyTorch": "d", "weights": "a", "kernels": "f", "cache": "b", "activations": "c", "measured": "e",
}  # fmt: skip
"""What a bar is made of, each with its style."""

_TICKS = 5  # of an axis, at most

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c656d; --line: #dfe3e6; --card: #fff; --page: #f6f7f8;
  --a: #2f6fde; --b: #8dbbff; --c: #13803f; --d: #b9c2ca; --e: #c07a08; --f: #7a5bc7 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #a3adb5; --line: #30363c; --card: #1d2125;
  --page: #141719; --a: #6ea0f5; --b: #35609f; --c: #4cc27c; --d: #565f68; --e: #e0a63c; --f: #a48be8 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 960px; padding: 32px 20px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px } h2 { font-size: 20px; margin: 36px 0 4px }
p { color: var(--soft); margin: 4px 0 12px; max-width: 75ch }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; overflow-x: auto }
.panel + p { margin-top: 12px }
table { width: 100%; border-collapse: collapse; font-size: 14px } th { font-weight: 600; vertical-align: bottom;
  line-height: 1.3; white-space: normal; overflow-wrap: normal }
th small { display: block; color: var(--soft); font-weight: 400 }
td, th { padding: 6px 0 6px 12px; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums } td, small { white-space: nowrap }
td:first-child, th:first-child { padding-left: 0 }
tr:last-child td { border-bottom: 0 }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 8px 12px; align-items: center;
  font-size: 14px; font-variant-numeric: tabular-nums }
.bar { display: flex; height: 18px; background: linear-gradient(var(--line), var(--line)) left / 1px 100% no-repeat }
.bar i { display: block } .total { text-align: right }
.axis { grid-column: 2; position: relative; height: 26px; border-top: 1px solid var(--line); color: var(--soft);
  font-size: 12px } .axis span { position: absolute; top: 6px; transform: translateX(-50%); white-space: nowrap }
.axis span::before { content: ""; position: absolute; left: 50%; top: -6px; height: 5px;
  border-left: 1px solid var(--soft) } .axis span:first-child { transform: none }
.axis span:first-child::before { left: 0 }
.axis-unit { color: var(--soft); font-size: 12px; text-align: right; align-self: start; padding-top: 7px }
@media (max-width: 600px) { .bars { grid-template-columns: 1fr max-content } .name { grid-column: 1 / -1;
  margin-bottom: -6px } .axis { grid-column: 1 } }
.a { background: var(--a) } .b { background: var(--b) } .c { background: var(--c) } .d { background: var(--d) }
.e { background: var(--e) } .f { background: var(--f) }
.key { white-space: nowrap; margin-right: 16px; display: inline-block }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px }
"""


@dataclass(frozen=True)
class _Bar:
    """A bar of a chart.

    Attributes:
        name: Stands beside it.
        pieces: What it is made of, by the names of `_PIECES`, each with its size.
    """

    name: str
    pieces: dict[str, float]

    @property
    def total(self) -> float:
        """All pieces together."""
        return sum(self.pieces.values())


def page(found: Bench) -> str:
    """Return the HTML of a page about a measurement."""
    stored = "" if found.quantize == "none" else f", matrices in {found.quantize}"
    title = f"What answers of {found.name} cost"
    lengths = {case.tokens for case in found.cases}
    answer = f"an answer of {min(lengths)} tokens" if len(lengths) == 1 else "an answer"
    seconds = [
        _Bar(
            _name(case),
            {
                "image": case.encode_seconds,
                "prompt": max(0.0, case.first_token_seconds - case.encode_seconds),
                "decoding": case.seconds - case.first_token_seconds,
            },
        )
        for case in found.cases
    ]
    memory = []
    for case in found.cases:
        told = case.foretold
        parts = (told.baseline, told.weights, told.kernels, told.cache, told.activations)
        names = ("Python and PyTorch", "weights", "kernels", "cache", "activations")
        pieces = {name: size / 1e9 for name, size in zip(names, parts, strict=True) if size}
        memory.append(_Bar(f"{_name(case)}, foretold", pieces))
        memory.append(_Bar("measured", {"measured": case.peak / 1e9}))
    limits = found.limits
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>"
        f"<h1>{escape(title)}</h1><p>In {escape(found.dtype + stored)}, on {escape(_machine(found))}. Loading took "
        f"{found.load_seconds:.2f}&nbsp;s.</p>"
        f'<div class="panel">{_table(found.cases)}</div>'
        f"<p>The tokens of a prompt include those of its image. All rows of a batch are answered together. Seconds are "
        f"medians; the first answer, in which the model is prepared, is not among them. In the same run this machine "
        f"read {limits.bytes_per_second / 1e9:.1f} GB/s and multiplied {limits.operations_per_second / 1e12:.2f} "
        f"TFLOP/s: the last two columns say how much of that decoding and the first token reach.</p>"
        f"<h2>Seconds to {answer}</h2><p>{_key(seconds)}</p>"
        f'<div class="panel">{_chart(seconds, "s")}</div>'
        f"<h2>Memory at the most</h2><p>{_key(memory)}</p>"
        f'<div class="panel">{_chart(memory, "GB")}</div></body></html>\n'
    )


_COLUMNS = (
    ("Batch", "rows"), ("Prompt", "tokens"), ("Answer", "tokens"), ("Image", "s"), ("First token", "s"),
    ("Each token", "ms"), ("Rate", "tokens/s"), ("Answer", "s"), ("First answer", "s"), ("Peak", "GB"),
    ("Decoding", "of reading"), ("First token", "of products"),
)  # fmt: skip


def _table(cases: Sequence[Measured]) -> str:
    head = "".join(f"<th>{name} <small>{unit}</small></th>" for name, unit in _COLUMNS)
    rows = [f"<tr>{head}</tr>"]
    for case in cases:
        cells = (
            f"{case.batch}", f"{case.prompt}", f"{case.tokens}", f"{case.encode_seconds:.3f}",
            f"{case.first_token_seconds:.3f}", f"{case.ms_per_token:.1f}", f"{case.tokens_per_second:,.1f}",
            f"{case.seconds:.2f}", f"{case.cold_seconds:.2f}", f"{case.peak / 1e9:.2f}",
            f"{case.decode_share:.0%}", f"{case.prompt_share:.0%}",
        )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _chart(bars: Sequence[_Bar], unit: str) -> str:
    """Draw bars over an axis from 0 to a round number."""
    step = _round_step(max(bar.total for bar in bars) or 1.0)
    count = math.ceil(max(bar.total for bar in bars) / step - 1e-9) or 1
    end, digits = step * count, max(0, -math.floor(math.log10(step)))
    drawn = []
    for bar in bars:
        pieces = "".join(
            f'<i class="{_PIECES[name]}" style="width:{100 * size / end:.2f}%" '
            f'title="{name}: {size:.{digits + 2}f} {unit}"></i>'
            for name, size in bar.pieces.items()
        )
        drawn.append(
            f'<div class="name">{escape(bar.name)}</div><div class="bar">{pieces}</div>'
            f'<div class="total">{bar.total:.{digits + 1}f} {unit}</div>'
        )
    ticks = "".join(f'<span style="left:{100 * i / count:.1f}%">{i * step:.{digits}f}</span>' for i in range(count + 1))
    axis = f'<div class="axis">{ticks}</div><div class="axis-unit">{unit}</div>'
    return f'<div class="bars">{"".join(drawn)}{axis}</div>'


def _round_step(longest: float) -> float:
    """The distance of an axis's ticks: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(longest / _TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if longest <= _TICKS * power * factor)


def _key(bars: Sequence[_Bar]) -> str:
    names = dict.fromkeys(name for bar in bars for name in bar.pieces)
    return "".join(f'<span class="key"><i class="{_PIECES[name]}"></i>{name}</span>' for name in names)


def _name(case: Measured) -> str:
    rows = "1 row" if case.batch == 1 else f"{case.batch} rows"
    return f"{rows}, prompt of {case.prompt}"


def _machine(found: Bench) -> str:
    """The machine in words: "AMD EPYC (avx2), 2 threads, PyTorch 2.13.0"."""
    said, given = [], {name: " ".join(v) if isinstance(v, list) else str(v) for name, v in found.machine.items()}
    if "gpu" in given:
        said.append(given["gpu"])
    capable = given.get("capable")
    said.append(given.get("cpu", "an unknown processor") + (f" ({capable})" if capable else ""))
    if "threads" in given:
        said.append(f"{given['threads']} threads" if given["threads"] != "1" else "1 thread")
    names = {"torch": "PyTorch", "python": "Python"}
    said += [f"{names[name]} {given[name]}" for name in names if name in given]
    return ", ".join(said)
