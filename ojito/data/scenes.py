"""`scenes`: small drawn images with exact answers, as many as training takes.

A scene is one to four objects, or up to nine where `data.scenes.max_objects` says so, each of a kind, a colour, a size
and one of nine places, on a varied background. Twelve of the 96 colour-kind pairs never occur in training: the split
"unseen" asks about exactly those.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ojito.config import ScenesConfig
from ojito.errors import OjitoError, nearest
from ojito.locate.boxes import Box
from ojito.records import Sample, Turn

KINDS = ("ball", "box", "triangle", "star", "heart", "cross", "ring", "diamond", "moon", "arrow", "house", "tree")
COLOURS = {
    "red": (215, 40, 40),
    "orange": (240, 140, 20),
    "yellow": (245, 225, 50),
    "green": (40, 155, 60),
    "blue": (45, 80, 215),
    "purple": (145, 50, 170),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
}
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
SIZES = {"small": (9, 10, 11), "big": (14, 15, 16)}  # pixels
QUESTIONS = (
    "colour", "what", "count kind", "count colour", "exists", "relation", "where", "kinds", "size", "caption",
)  # fmt: skip

UNSEEN = frozenset((kind, tuple(COLOURS)[(3 * i + 1) % 8]) for i, kind in enumerate(KINDS))
"""The colour-kind pairs that no training scene holds: one colour of every kind."""

SAMPLES = 1000  # scenes that `Scenes.samples` draws when it is not told how many
SIDE = 48  # pixels of an image
CELL = SIDE // 3  # a place is a cell of a 3x3 grid
PLURALS = {kind: {"box": "boxes", "cross": "crosses"}.get(kind, kind + "s") for kind in KINDS}


@dataclass(frozen=True)
class Thing:
    """One object of a scene; `place` counts the nine cells row by row."""

    kind: str
    colour: str
    size: str
    place: int

    @property
    def row(self) -> int:
        """0 at the top to 2."""
        return self.place // 3

    @property
    def column(self) -> int:
        """0 at the left to 2."""
        return self.place % 3


class Scenes:
    """The source without end. "train" is a stream; "dev" and "unseen" are fixed rows that training never meets."""

    name = "scenes"
    splits = ("train", "dev", "unseen")

    def __init__(self, config: ScenesConfig | None = None) -> None:
        self.config = config or ScenesConfig()

    def stream(self, split: str = "train", seed: int = 0) -> Iterator[Sample]:
        """Yield training scenes without end, with `config.questions` turns each.

        Args:
            split: "train"; the others are fixed, see `samples`.
            seed: The same seed gives the same scenes.

        Raises:
            OjitoError: Another split.
        """
        self._check(split)
        if split != "train":
            raise OjitoError("data.split", f"{split!r} of scenes is kept for evaluation", "learn from 'train'")
        return self._endless(random.Random(f"scenes {split} {seed}"))

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> list[Sample]:
        """Return scenes with one question each, the ten kinds of question in turn.

        In "unseen", every question is about an object whose colour and kind never met in training.

        Args:
            split: One of `splits`.
            limit: How many; None for `SAMPLES`.
            seed: The same seed gives the same scenes.

        Raises:
            OjitoError: Another split.
        """
        self._check(split)
        rng = random.Random(f"scenes {split} samples {seed}")
        rows: list[Sample] = []
        while len(rows) < (SAMPLES if limit is None else limit):
            kind = QUESTIONS[len(rows) % len(QUESTIONS)]
            things = draw_things(rng, rng.randint(1, self.config.max_objects), unseen=split == "unseen")
            turn = ask(kind, things, rng, about=things[0] if split == "unseen" else None)
            if turn:
                rows.append(Sample([paint(things, rng)], turns=(turn,), split=split, origin=f"scenes:{len(rows) + 1}"))
        return rows

    def _check(self, split: str) -> None:
        if split not in self.splits:
            raise OjitoError("split", f"{split!r} is no split of scenes", nearest(split, self.splits))

    def _endless(self, rng: random.Random) -> Iterator[Sample]:
        while True:
            things = draw_things(rng, rng.randint(1, self.config.max_objects))
            yield Sample([paint(things, rng)], turns=self._turns(things, rng), split="train", origin="scenes")

    def _turns(self, things: list[Thing], rng: random.Random) -> tuple[Turn, ...]:
        """The caption, which says most, and other questions, their kinds as even as the scene allows."""
        turns = {"": Turn("", (caption(things),), "caption")}  # by prompt
        for _ in range(4):
            for kind in rng.sample(QUESTIONS, len(QUESTIONS)):
                if len(turns) == self.config.questions:
                    return tuple(turns.values())
                turn = ask(kind, things, rng)
                if turn:
                    turns.setdefault(turn.prompt, turn)
        return tuple(turns.values())


def draw_things(rng: random.Random, count: int, unseen: bool = False) -> list[Thing]:
    """Draw `count` objects in different places. With `unseen`, the first has a pair that training never shows."""
    places = rng.sample(range(9), count)
    things: list[Thing] = []
    for place in places:
        if unseen and not things:
            kind, colour = rng.choice(sorted(UNSEEN))
        else:
            kind, colour = rng.choice(KINDS), rng.choice(tuple(COLOURS))
            # counting needs scenes in which a kind or a colour comes back
            if things and rng.random() < 0.35:
                if rng.random() < 0.5:
                    kind = things[0].kind
                else:
                    colour = things[0].colour
            if (kind, colour) in UNSEEN:
                seen = [c for c in COLOURS if (kind, c) not in UNSEEN]
                colour = rng.choice(seen)
        things.append(Thing(kind, colour, rng.choice(tuple(SIZES)), place))
    return things


def paint(things: list[Thing], rng: random.Random) -> Image.Image:
    """Paint a scene: each object near the middle of its place, its colour a little off, on a background."""
    return paint_boxed(things, rng)[0]


def paint_boxed(things: list[Thing], rng: random.Random) -> tuple[Image.Image, list[Box]]:
    """As `paint`, with the box of each object, in their order, labelled with its colour and kind."""
    canvas = background(rng)
    boxes = []
    for thing in things:
        side = rng.choice(SIZES[thing.size])
        left = round(thing.column * CELL + (CELL - side) / 2 + rng.uniform(-2, 2))
        top = round(thing.row * CELL + (CELL - side) / 2 + rng.uniform(-2, 2))
        left, top = min(max(left, 0), SIDE - side), min(max(top, 0), SIDE - side)
        cover = _silhouette(thing.kind, side)
        colour = np.array([c + rng.uniform(-15, 15) for c in COLOURS[thing.colour]], np.float32)
        window = canvas[top : top + side, left : left + side]
        window += cover * (colour - window)
        boxes.append(Box(top, left, top + side, left + side, f"{thing.colour} {thing.kind}"))
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8)), boxes


def background(rng: random.Random) -> np.ndarray:
    """Paint a pale or dark grey-brown ground, (SIDE, SIDE, 3) float32: a gradient in a random direction, with grain."""
    grain = np.random.default_rng(rng.getrandbits(64))
    base = rng.uniform(70, 190)
    tint = np.array([rng.uniform(-18, 18) for _ in range(3)], np.float32)
    angle, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0, 30)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    plane = base + slope * (math.cos(angle) * ramp[None, :] + math.sin(angle) * ramp[:, None])
    noise = grain.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * rng.uniform(0, 8)
    return plane[:, :, None] + tint + noise


@functools.cache
def _silhouette(kind: str, side: int) -> np.ndarray:
    """Share of each pixel that an object covers, (side, side, 1): drawn eight times larger, then averaged."""
    scale = 8
    n = side * scale
    image = Image.new("L", (n, n))
    pen = ImageDraw.Draw(image)

    def polygon(*points: tuple[float, float]) -> None:
        pen.polygon([(x * n, y * n) for x, y in points], fill=255)

    def ellipse(left: float, top: float, right: float, bottom: float, fill: int = 255) -> None:
        pen.ellipse((left * n, top * n, right * n - 1, bottom * n - 1), fill=fill)

    if kind == "ball":
        ellipse(0, 0, 1, 1)
    elif kind == "box":
        polygon((0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94))
    elif kind == "triangle":
        polygon((0.5, 0.02), (1, 0.96), (0, 0.96))
    elif kind == "star":
        tips = [(0.5 if i % 2 == 0 else 0.2, math.pi * i / 5) for i in range(10)]
        polygon(*((0.5 + r * math.sin(a), 0.52 - r * math.cos(a)) for r, a in tips))
    elif kind == "heart":
        ellipse(0, 0.05, 0.54, 0.59)
        ellipse(0.46, 0.05, 1, 0.59)
        polygon((0.04, 0.44), (0.5, 0.3), (0.96, 0.44), (0.5, 1))
    elif kind == "cross":
        polygon((0.35, 0), (0.65, 0), (0.65, 1), (0.35, 1))
        polygon((0, 0.35), (1, 0.35), (1, 0.65), (0, 0.65))
    elif kind == "ring":
        ellipse(0, 0, 1, 1)
        ellipse(0.26, 0.26, 0.74, 0.74, fill=0)
    elif kind == "diamond":
        polygon((0.5, 0), (0.88, 0.5), (0.5, 1), (0.12, 0.5))
    elif kind == "moon":
        ellipse(0, 0, 1, 1)
        ellipse(0.36, 0, 1.24, 0.9, fill=0)
    elif kind == "arrow":
        polygon((0, 0.36), (0.5, 0.36), (0.5, 0.06), (1, 0.5), (0.5, 0.94), (0.5, 0.64), (0, 0.64))
    elif kind == "house":
        polygon((0.5, 0), (1, 0.45), (0.86, 0.45), (0.86, 1), (0.14, 1), (0.14, 0.45), (0, 0.45))
        pen.rectangle((0.4 * n, 0.62 * n, 0.6 * n, n), fill=0)
    elif kind == "tree":
        ellipse(0.12, 0, 0.88, 0.66)
        polygon((0.4, 0.6), (0.6, 0.6), (0.6, 1), (0.4, 1))
    cover = np.asarray(image, np.float32).reshape(side, scale, side, scale).mean((1, 3)) / 255
    return cover[:, :, None]


def ask(kind: str, things: list[Thing], rng: random.Random, about: Thing | None = None) -> Turn | None:
    """Ask a question of this kind, with its exact answer; None where the scene has nothing unambiguous to ask.

    Args:
        kind: One of `QUESTIONS`.
        things: The scene.
        rng: Draws what is asked about.
        about: The object that the question must be about; None for any.
    """
    named = [t for t in things if sum(o.kind == t.kind for o in things) == 1]
    subjects = named if about is None else [t for t in named if t == about]
    subject = rng.choice(subjects) if subjects else None
    if kind == "colour" and subject:
        return Turn(f"what colour is the {subject.kind}?", (subject.colour,), kind)
    if kind == "where" and subject:
        return Turn(f"where is the {subject.kind}?", (PLACES[subject.place],), kind)
    if kind == "size" and subject:
        return Turn(f"what size is the {subject.kind}?", (subject.size,), kind)
    if kind == "relation" and subject:
        return _relation(subject, [t for t in named if t != subject], rng)
    if kind == "what":
        alone = [t for t in things if sum(o.colour == t.colour for o in things) == 1]
        alone = alone if about is None else [t for t in alone if t == about]
        if alone:
            thing = rng.choice(alone)
            return Turn(f"what is the {thing.colour} thing?", (thing.kind,), kind)
    if kind == "count kind":
        asked = about.kind if about else _even_count([t.kind for t in things], KINDS, rng)
        return Turn(f"how many {PLURALS[asked]}?", (str(sum(t.kind == asked for t in things)),), kind)
    if kind == "count colour":
        asked = about.colour if about else _even_count([t.colour for t in things], tuple(COLOURS), rng)
        return Turn(f"how many {asked} things?", (str(sum(t.colour == asked for t in things)),), kind)
    if kind == "exists":
        return _exists(things, rng, about)
    if kind == "kinds":
        return Turn("which kinds?", (" ".join(k for k in KINDS if any(t.kind == k for t in things)),), kind)
    if kind == "caption":
        return Turn("", (caption(things),), kind)
    return None


def caption(things: list[Thing]) -> str:
    """Caption of a scene: every object with colour, kind and place, in reading order."""
    return ", ".join(f"{t.colour} {t.kind} {PLACES[t.place]}" for t in sorted(things, key=lambda t: t.place))


def _relation(subject: Thing, others: list[Thing], rng: random.Random) -> Turn | None:
    """Ask for left of or above, among objects that differ in that direction; yes and no are equally frequent."""
    word, axis = rng.choice([("left of", "column"), ("above", "row")])
    others = [t for t in others if getattr(t, axis) != getattr(subject, axis)]
    if not others:
        return None
    pair = [subject, rng.choice(others)]
    rng.shuffle(pair)
    answer = "yes" if getattr(pair[0], axis) < getattr(pair[1], axis) else "no"
    return Turn(f"is the {pair[0].kind} {word} the {pair[1].kind}?", (answer,), "relation")


def _exists(things: list[Thing], rng: random.Random, about: Thing | None) -> Turn:
    """Ask whether an object is there; yes half of the time.

    Most of the no's exchange one property of an object that is there: only binding helps.
    """
    thing = about or rng.choice(things)
    kind, colour = thing.kind, thing.colour
    if rng.random() < 0.5:
        return Turn(f"is there a {colour} {kind}?", ("yes",), "exists")
    there = {(t.kind, t.colour) for t in things}
    while (kind, colour) in there or (about is None and (kind, colour) in UNSEEN):
        other = rng.choice(things) if rng.random() < 0.5 else None
        if rng.random() < 0.5:
            kind = other.kind if other else rng.choice(KINDS)
        else:
            colour = other.colour if other else rng.choice(tuple(COLOURS))
    return Turn(f"is there a {colour} {kind}?", ("no",), "exists")


def _even_count(present: list[str], every: tuple[str, ...], rng: random.Random) -> str:
    """Choose what to count, so that the answers 0, 1, 2, ... come up as evenly as the scene allows."""
    absent = [name for name in every if name not in present]
    by_count: dict[int, list[str]] = {0: absent} if absent else {}  # nine things may have all eight colours
    for name in sorted(set(present)):
        by_count.setdefault(present.count(name), []).append(name)
    return rng.choice(by_count[rng.choice(sorted(by_count))])
