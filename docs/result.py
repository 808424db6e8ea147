"""Draw docs/result.png, the image in the README: a model's answers about scenes that it never saw.

python docs/result.py runs/demo/model docs/result.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import ojito
from ojito.data import Scenes
from ojito.evaluate import Graded, evaluate
from ojito.processor.images import open_image

COLUMNS, ROWS, SIDE, GAP, WORDS = 5, 2, 192, 20, 76  # pixels
INK, SOFT, RIGHT, WRONG, PAGE = "#1c2024", "#667079", "#13803f", "#b93325", "#ffffff"


def draw(graded: list[Graded]) -> Image.Image:
    """A card for each question: the image, the question, the answer."""
    canvas = Image.new("RGB", (GAP + COLUMNS * (SIDE + GAP), GAP + ROWS * (SIDE + WORDS)), PAGE)
    pen = ImageDraw.Draw(canvas)
    small, large = ImageFont.load_default(13), ImageFont.load_default(17)
    for place, one in enumerate(graded):
        left = GAP + place % COLUMNS * (SIDE + GAP)
        top = GAP + place // COLUMNS * (SIDE + WORDS)
        image = open_image(one.sample.images[0])
        canvas.paste(image.resize((SIDE, SIDE), Image.Resampling.NEAREST), (left, top))
        pen.text((left, top + SIDE + 5), one.turn.prompt or "caption", SOFT, small)
        answer = one.given if one.right else f"{one.given} (not {one.turn.answers[0]})"
        for line, text in enumerate(_lines(answer, large)):
            pen.text((left, top + SIDE + 22 + 18 * line), text, RIGHT if one.right else WRONG, large)
    return canvas


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= SIDE:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


if __name__ == "__main__":
    model, out = sys.argv[1:]
    # The first scenes of a seed of their own, ten kinds of question in turn: nothing is picked.
    report = evaluate(ojito.load(model), Scenes().samples("dev", COLUMNS * ROWS, seed=2026), controls=())
    draw(list(report.graded)).save(Path(out), optimize=True)
