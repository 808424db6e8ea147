"""A page of examples: images with their texts and, for a model, the tokens of a row and which of them are learned.

One HTML file without scripts or other files, for screens of any width, readable in light and dark.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from ojito.data.lengths import first_fitting
from ojito.data.overview import Overview
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.images import open_image
from ojito.processor.prompts import Row
from ojito.records import IGNORE, IMAGE, Sample

if TYPE_CHECKING:
    from ojito.records import ImageLike

_SIDE = 320  # pixels of an image on the page

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667079; --line: #dfe3e6; --card: #fff; --page: #f6f7f8;
  --right: #13803f; --wrong: #b93325; --learned: #d6f2df; --seen: #eceff1 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaec; --soft: #98a2ab; --line: #30363c; --card: #1d2125;
  --page: #141719; --right: #4cc27c; --wrong: #f0806f; --learned: #1c4a2c; --seen: #2a3036 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 24px 16px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 20px; margin: 32px 0 12px }
p { color: var(--soft); margin: 4px 0 16px; max-width: 75ch }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)) }
.card, .panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px;
  min-width: 0 }
.card img { max-width: 100%; max-height: 320px; border-radius: 8px; display: block; margin-bottom: 8px }
.card small { color: var(--soft) } dl { margin: 8px 0 0; font-size: 15px } dt { color: var(--soft); margin-top: 6px }
dd { margin: 0 } .wrong { color: var(--wrong) }
.tokens { font: 13px/2 ui-monospace, monospace; margin-top: 8px; border-top: 1px solid var(--line); padding-top: 6px }
.tokens span { white-space: pre-wrap; padding: 1px 3px; border-radius: 4px; margin-right: 2px; background: var(--seen) }
.tokens .learned { background: var(--learned); color: var(--right); text-decoration: underline }
pre { white-space: pre-wrap; margin: 0; font: 13px/1.6 ui-monospace, monospace }
"""


def page(found: Overview, summary: str, samples: Sequence[Sample], processor: Processor | None = None) -> str:
    """Return the HTML of a page about data.

    Args:
        found: The overview.
        summary: The overview as text.
        samples: The examples.
        processor: Writes them as tokens, as training does; None shows none.
    """
    legend = ""
    if processor is not None:
        legend = (
            "<p>Below each example is the row that training would see, a line for what all turns share and for each "
            'blind turn. <span class="tokens" style="border:0"><span class="learned">Underlined</span></span> tokens '
            "are learned; the others are only read.</p>"
        )
    cards = "".join(_card(sample, processor) for sample in samples)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(found.name)}</title><style>{_STYLE}</style><body>"
        f"<h1>{escape(found.name)}</h1><p>{escape(found.form)}, {found.total:,} rows: {escape(found.reading)}</p>"
        f'<div class="panel"><pre>{escape(summary)}</pre></div>'
        f'<h2>{len(samples)} examples</h2>{legend}<div class="cards">{cards}</div></body></html>\n'
    )


def _card(sample: Sample, processor: Processor | None) -> str:
    images = "".join(map(_image, sample.images))
    system = f"<dt>system message</dt><dd>{escape(sample.system)}</dd>" if sample.system else ""
    turns = "".join(
        f"<dt>{escape(turn.prompt or 'caption')}</dt>"
        + "".join(f"<dd>{escape(answer)}</dd>" for answer in turn.answers)
        for turn in sample.turns
    )
    how = ", a chat" if sample.chat else ""
    head = f"<small>{escape(sample.origin)}, {escape(sample.split or 'train')}{how}</small>"
    return f'<div class="card">{images}{head}<dl>{system}{turns}</dl>{_tokens(sample, processor)}</div>'


def _tokens(sample: Sample, processor: Processor | None) -> str:
    if processor is None:
        return ""
    try:
        part = first_fitting(sample, processor)
        row = processor.row(part, training=True)
    except (ImageError, RowError) as error:
        return f'<div class="tokens wrong">{escape(str(error))}</div>'
    divided = "" if part is sample else "<p>Too long for one row: training divides it, and this is the first part.</p>"
    return divided + "".join(f'<div class="tokens">{"".join(spans)}</div>' for spans in _lines(row, processor))


def _lines(row: Row, processor: Processor) -> Iterator[list[str]]:
    """The tokens of each segment; those of an image as one."""
    places = range(len(row.tokens))
    for _, segment in groupby(places, lambda place: row.segments[place]):
        spans = []
        for is_image, run in groupby(segment, lambda place: row.tokens[place] == IMAGE):
            if is_image:
                spans.append(f"<span>image: {len([*run])} tokens</span>")
                continue
            for place in run:
                style = ' class="learned"' if is_learned(row, place) else ""
                text = processor.tokenizer.shown(row.tokens[place]).replace("\n", "↵\n")
                spans.append(f"<span{style}>{escape(text)}</span>")
        yield spans


def is_learned(row: Row, place: int) -> bool:
    """Whether the token at a place of a row is a target: of the place before it, in its own segment."""
    follows = place > 0 and row.segments[place - 1] == row.segments[place]
    return follows and row.targets[place - 1] != IGNORE


def _image(image: ImageLike) -> str:
    try:
        opened = open_image(image)
    except ImageError as error:
        return f'<p class="wrong">{escape(str(error))}</p>'
    if max(opened.size) > _SIDE:
        opened = ImageOps.contain(opened, (_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    name = escape(getattr(image, "name", "image"), quote=True)
    return f'<img alt="{name}" src="data:image/jpeg;base64,{encoded}">'
