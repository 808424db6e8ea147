"""Boxes, groups of boxes and arrows as SVG: measured first, then drawn. No font is needed to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Union
from xml.sax.saxutils import escape

Tone = Literal["vision", "connector", "decoder", "plain"]
"""Colour of a part of the model."""

BODY, TITLE = 12.5, 14.0  # font sizes, pixels
PAD, LINE, HEADER = 14.0, 18.0, 22.0  # around the text of a box; height of a line of text, and of a title
ARROW, LABELLED = 22.0, 34.0  # between boxes, without and with a label
SHEET = 5.0  # by which each sheet of a stack stands out from behind the one before it
BRANCH, PLUS = 18.0, 7.0  # room for the branch around a box that adds to its input; radius of the plus
SQUARE, SPACE = 13.0, 4.0  # a token of a strip, and the space after it

_STYLE = """
text { font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
.page { fill: #ffffff } .ink { fill: #1f2933 } .faint { fill: #5c6b7a } .bold { font-weight: 650 }
.flow { fill: none; stroke: #7b8794; stroke-width: 1.5 } .tip { fill: #7b8794 }
.card, .box, .sheet { stroke-width: 1.2 } .cell { fill: #e9edf1 } .sheet { opacity: 0.75 }
.card.plain, .sheet.plain { fill: #f5f7fa; stroke: #d3dae2 } .box.plain { fill: #f5f7fa; stroke: #9aa5b1 }
.card.vision, .sheet.vision { fill: #eef4ff; stroke: #a9c5fb } .box.vision { fill: #ffffff; stroke: #6d9bf5 }
.card.connector, .sheet.connector { fill: #fff4ea; stroke: #fbc79b } .box.connector { fill: #ffffff; stroke: #f0944d }
.card.decoder, .sheet.decoder { fill: #e9f8f1; stroke: #98dcbf } .box.decoder { fill: #ffffff; stroke: #3fae85 }
.vision.fill { fill: #2563eb } .connector.fill { fill: #d9600f }
.decoder.fill { fill: #047857 } .plain.fill { fill: #7b8794 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9aa7b4 }
.flow { stroke: #8b98a5 } .tip { fill: #8b98a5 } .cell { fill: #222a34 }
.card.plain, .sheet.plain { fill: #161c24; stroke: #303a46 } .box.plain { fill: #161c24; stroke: #5c6b7a }
.card.vision, .sheet.vision { fill: #111d33; stroke: #274a86 } .box.vision { fill: #0d1117; stroke: #3f6fd1 }
.card.connector, .sheet.connector { fill: #2a1a0e; stroke: #7a4519 } .box.connector { fill: #0d1117; stroke: #c96a25 }
.card.decoder, .sheet.decoder { fill: #0c231b; stroke: #1c6048 } .box.decoder { fill: #0d1117; stroke: #2a9670 }
.vision.fill { fill: #79a6ff } .connector.fill { fill: #ffa45c }
.decoder.fill { fill: #4fd1a0 } .plain.fill { fill: #8b98a5 }
}
""".strip()


@dataclass(frozen=True)
class Box:
    """A step of the data flow.

    Attributes:
        title: Its name.
        lines: What it does; each is wrapped to the box.
        number: Beside the title, such as a count of parameters.
        after: What leaves it, beside the arrow below it.
        tone: Of its part.
        round: Whether it is no step, but an end of the flow.
        strip: Tones of a row of squares under the text; "" leaves some out.
    """

    title: str
    lines: tuple[str, ...] = ()
    number: str = ""
    after: str = ""
    tone: Tone = "plain"
    round: bool = False
    strip: tuple[Tone | Literal[""], ...] = ()


@dataclass(frozen=True)
class Group:
    """Steps that belong together, in a card, below each other or side by side.

    Attributes:
        title: Its name.
        items: The steps, in the order of the flow.
        number: Beside the title.
        after: What leaves it, beside the arrow below it.
        tone: Of its part.
        stacked: Whether it stands for several alike, and is drawn as a stack.
        adds: Whether each step adds to its input, and a branch leads around it.
        across: Whether such steps are side by side, all of one width.
    """

    title: str
    items: tuple[Item, ...]
    number: str = ""
    after: str = ""
    tone: Tone = "plain"
    stacked: bool = False
    adds: bool = False
    across: bool = False


Item = Union[Box, Group]


class Sheet:
    """The elements of a drawing, in the order in which they cover each other."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def rectangle(self, classes: str, x: float, y: float, width: float, height: float, radius: float = 0) -> None:
        """Add a rectangle of these classes of the style."""
        corners = f' rx="{radius:g}"' if radius else ""
        size = f'width="{width:g}" height="{height:g}"'
        self._elements.append(f'<rect class="{classes}" x="{x:g}" y="{y:g}" {size}{corners}/>')

    def text(self, words: str, x: float, y: float, classes: str, size: float = BODY, anchor: str = "start") -> None:
        """Add a line of text, whose baseline is at y."""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._elements.append(
            f'<text class="{classes}" x="{x:g}" y="{y:g}" font-size="{size:g}"{place}>{escape(words)}</text>'
        )

    def path(self, *points: tuple[float, float], tip: bool = True) -> None:
        """Add a line through these points, with the tip of an arrow at the last one."""
        line = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._elements.append(f'<polyline class="flow" points="{line}"/>')
        if tip:
            (x0, y0), (x, y) = points[-2:]
            dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)  # lines are upright or level
            back = (x - 7 * dx, y - 7 * dy)
            corners = [(x, y), (back[0] + 4 * dy, back[1] + 4 * dx), (back[0] - 4 * dy, back[1] - 4 * dx)]
            drawn = " ".join(f"{x:g},{y:g}" for x, y in corners)
            self._elements.append(f'<polygon class="tip" points="{drawn}"/>')

    def plus(self, x: float, y: float) -> None:
        """Add a sign of addition in a circle."""
        self._elements.append(f'<circle class="page" cx="{x:g}" cy="{y:g}" r="{PLUS:g}"/>')
        self._elements.append(f'<circle class="flow" cx="{x:g}" cy="{y:g}" r="{PLUS:g}"/>')
        self.path((x - 4, y), (x + 4, y), tip=False)
        self.path((x, y - 4), (x, y + 4), tip=False)

    def open(self, classes: str) -> None:
        """Begin a group of elements."""
        self._elements.append(f'<g class="{classes}">')

    def close(self) -> None:
        """End it."""
        self._elements.append("</g>")

    def svg(self, width: float, height: float, title: str, about: str) -> str:
        """Return the drawing as a file.

        Args:
            width: Of the page, pixels.
            height: Of the page, pixels.
            title: For those who hear it instead.
            about: The same, in a sentence.
        """
        size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
                f'<title id="title">{escape(title)}</title>',
                f'<desc id="about">{escape(about)}</desc>',
                f"<style>{_STYLE}</style>",
                f'<rect class="page" width="{width:g}" height="{height:g}"/>',
                *self._elements,
                "</svg>\n",
            ]
        )


# -------------------------------------------------------------------------------------------------------- text measured


def text_width(text: str, size: float = BODY, bold: bool = False) -> float:
    """Return the pixels that a line of text takes at most, in the fonts of the style: those of a wide one."""
    return size * sum(map(_em, text)) * (1.12 if bold else 1.0)


def _em(character: str) -> float:
    if character in " .,:;'|!iljI()[]/":
        return 0.4
    if character in "mwMW@%→":
        return 0.98
    return 0.72 if character.isupper() else 0.64


def wrap(text: str, width: float, size: float = BODY, bold: bool = False) -> list[str]:
    """Return the lines of a text that fit into a width. A word that is wider alone is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, bold) <= width:
            lines[-1] = longer
        else:
            lines.append(_cut(word, width, size, bold))
    return lines


def _cut(word: str, width: float, size: float, bold: bool) -> str:
    if text_width(word, size, bold) <= width:
        return word
    while word and text_width(f"{word}…", size, bold) > width:
        word = word[:-1]
    return f"{word}…"


def _title(item: Item, width: float) -> list[str]:
    beside = text_width(item.number, BODY, True) + 12 if item.number else 0
    return wrap(item.title, width - 2 * PAD - beside, TITLE, True)


def _lines(box: Box, width: float) -> list[str]:
    return [line for text in box.lines for line in wrap(text, width - 2 * PAD)]


# ------------------------------------------------------------------------------------------------ boxes measured, drawn


def gap(item: Item) -> float:
    """Return the height of the arrow below an item."""
    return LABELLED if item.after else ARROW


def column_height(items: Sequence[Item], width: float) -> float:
    """Return the height of items below each other, with the arrows between them."""
    return sum(height(item, width) for item in items) + sum(map(gap, items[:-1]))


def height(item: Item, width: float) -> float:
    """Return the height of an item of this width."""
    if isinstance(item, Box):
        strip = SQUARE + 8 if item.strip else 0
        text = HEADER * len(_title(item, width)) + LINE * len(_lines(item, width))
        return 2 * PAD - 8 + text + strip
    inner = _inner_width(item, width)
    if item.across:
        each = _each_width(item, inner)
        inside = max(height(one, each) for one in item.items) + BRANCH
    elif item.adds:
        inside = sum(BRANCH + height(one, inner) + 2 * BRANCH for one in item.items)
    else:
        inside = column_height(item.items, inner)
    return HEADER * len(_title(item, width)) + inside + 2 * PAD + 2 * SHEET * item.stacked


def draw_column(sheet: Sheet, items: Sequence[Item], x: float, y: float, width: float) -> float:
    """Draw items below each other, with the arrows between them; return where they end."""
    middle = x + width / 2
    for number, item in enumerate(items):
        tall = height(item, width)
        draw(sheet, item, x, y, width, tall)
        y += tall
        if number < len(items) - 1:
            draw_arrow(sheet, middle, y, y + gap(item), item.after)
            y += gap(item)
    return y


def draw_arrow(sheet: Sheet, x: float, top: float, bottom: float, label: str = "") -> None:
    """Draw an arrow down, with a label beside it."""
    sheet.path((x, top + 1), (x, bottom - 1))
    if label:
        sheet.text(label, x + 12, (top + bottom) / 2 + 4, "faint label")


def draw(sheet: Sheet, item: Item, x: float, y: float, width: float, tall: float) -> None:
    """Draw an item.

    Args:
        sheet: Where to.
        item: The item.
        x: Left side.
        y: Upper side.
        width: As for `height`.
        tall: Its height, or more.
    """
    if isinstance(item, Box):
        _draw_box(sheet, item, x, y, width, tall)
        return
    away = 2 * SHEET * item.stacked
    for number in (2, 1) if item.stacked else ():
        shift = number * SHEET
        sheet.rectangle(f"sheet {item.tone}", x + shift, y + shift, width - away, tall - away, 10)
    sheet.rectangle(f"card {item.tone}", x, y, width - away, tall - away, 10)
    _draw_title(sheet, item, x, y, width - away)
    inner, left, top = _inner_width(item, width), x + PAD, y + HEADER * len(_title(item, width)) + PAD
    if item.across:
        _draw_across(sheet, item, left, top, inner)
    elif item.adds:
        _draw_adding(sheet, item, left + BRANCH, top, inner)
    else:
        draw_column(sheet, item.items, left, top, inner)


def _inner_width(group: Group, width: float) -> float:
    """Width of what is inside, without the branch around it."""
    inner = width - 2 * PAD - 2 * SHEET * group.stacked
    return inner - 2 * BRANCH * (group.adds and not group.across)  # on both sides, so that the flow is in the middle


def _each_width(group: Group, inner: float) -> float:
    """Width of each of the items side by side: before each there is a branch, after it a sum and a line."""
    return inner / len(group.items) - 3 * BRANCH


def _draw_box(sheet: Sheet, box: Box, x: float, y: float, width: float, tall: float) -> None:
    sheet.open(f"item {box.tone}")
    sheet.rectangle(f"box {box.tone}", x, y, width, tall, min(tall / 2, 26) if box.round else 7)
    _draw_title(sheet, box, x, y - 1, width)
    baseline = y + PAD - 2 + HEADER * len(_title(box, width))
    for line in _lines(box, width):
        sheet.text(line, x + PAD, baseline + 11, "faint")
        baseline += LINE
    for number, tone in enumerate(box.strip):
        left = x + PAD + number * (SQUARE + SPACE)
        if tone:
            sheet.rectangle(f"{tone} fill", left, baseline + 5, SQUARE, SQUARE, 3)
        else:
            sheet.text("…", left + SQUARE / 2, baseline + 14, "faint", BODY, "middle")
    sheet.close()


def _draw_title(sheet: Sheet, item: Item, x: float, y: float, width: float) -> None:
    for number, line in enumerate(_title(item, width)):
        sheet.text(line, x + PAD, y + PAD + 10 + HEADER * number, "ink bold", TITLE)
    if item.number:
        sheet.text(item.number, x + width - PAD, y + PAD + 10, f"bold fill {item.tone}", BODY, "end")


def _draw_adding(sheet: Sheet, group: Group, x: float, y: float, width: float) -> None:
    """Items below each other, with a branch around each, on the left."""
    middle, around = x + width / 2, x - BRANCH + 4
    for item in group.items:
        tall = height(item, width)
        sum_y = y + BRANCH + tall + BRANCH
        sheet.path((middle, y), (middle, y + BRANCH - 1))
        draw(sheet, item, x, y + BRANCH, width, tall)
        sheet.path((middle, y + 5), (around, y + 5), (around, sum_y), (middle - PLUS, sum_y))
        sheet.path((middle, y + BRANCH + tall), (middle, sum_y - PLUS), tip=False)
        sheet.plus(middle, sum_y)
        y = sum_y + BRANCH
        sheet.path((middle, sum_y + PLUS), (middle, y), tip=False)


def _draw_across(sheet: Sheet, group: Group, x: float, y: float, width: float) -> None:
    """Items side by side, with a branch around each, above."""
    each = _each_width(group, width)
    tall = max(height(item, each) for item in group.items)
    top = y + BRANCH
    middle = top + tall / 2
    for item in group.items:
        sum_x = x + BRANCH + each + BRANCH
        sheet.path((x, middle), (x + BRANCH - 1, middle))
        draw(sheet, item, x + BRANCH, top, each, tall)
        sheet.path((x + 5, middle), (x + 5, y + 5), (sum_x, y + 5), (sum_x, middle - PLUS))
        sheet.path((x + BRANCH + each, middle), (sum_x - PLUS, middle), tip=False)
        sheet.plus(sum_x, middle)
        x = sum_x + BRANCH
        sheet.path((sum_x + PLUS, middle), (x, middle), tip=False)
