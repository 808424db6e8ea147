"""Maps for the report of `ojito eval`: where in the image the answers come from."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence

from PIL import Image

from ojito.commands.console import progress
from ojito.errors import OjitoError, UsageError
from ojito.evaluate import Graded
from ojito.evaluate.report import AnswerMap
from ojito.pipeline import Pipeline
from ojito.probe.forced import force_turn
from ojito.probe.looking import look, usual_method
from ojito.probe.maps import draw_heat
from ojito.probe.occlusion import dependence
from ojito.web_page import SIDE


def check_looks(args: Namespace) -> None:
    """Check that maps have a page to stand on, before the time that a model takes.

    Raises:
        UsageError: There is none; or a method is named, and no maps are asked for.
    """
    if args.look_method is not None and args.look is None:
        raise UsageError(f"--look-method {args.look_method}", "draws no map by itself", "add --look 12")
    if args.look is not None and args.report is args.out is None:
        raise UsageError(f"--look {args.look}", "draws into a report, and none is written", "add --report report.html")


def method_of(args: Namespace, pipe: Pipeline) -> str:
    """The method to draw the maps with.

    Raises:
        OjitoError: Maps are asked for of a model that has none.
    """
    return args.look_method or ("" if args.look is None else usual_method(pipe.model.config))


def answer_maps(pipe: Pipeline, graded: Sequence[Graded], method: str) -> dict[int, AnswerMap]:
    """Return a map of each answer by the number of its question: of the word to which the image is worth most.

    Args:
        pipe: The model.
        graded: The answers.
        method: One of `ojito.probe.methods`.
    """
    maps = {}
    with progress("looking") as tell:
        for number, one in enumerate(graded):
            tell(number, len(graded))
            try:
                maps[one.number] = _map(pipe, one, method)
            except OjitoError as error:  # one that has no map keeps no other from being drawn
                maps[one.number] = AnswerMap(None, f"no map: {error.problem}")
            tell(number + 1, len(graded))
    return maps


def _map(pipe: Pipeline, one: Graded, method: str) -> AnswerMap:
    if len(one.sample.images) > 1:
        return AnswerMap(None, f"no map: the question is about {len(one.sample.images)} images")
    if not any(map(str.isalnum, one.given)):
        return AnswerMap(None, "no map: the answer has no word")
    opened = pipe.processor.open_image(one.sample.images[0])
    forced = force_turn(pipe.processor, dataclasses.replace(one.sample, images=[opened.image]), one.given)
    worth = dependence(pipe.model, pipe.processor, opened.image, forced)
    best = max(worth, key=lambda of: of.nats)
    size = (opened.width, opened.height)
    heat = look(pipe.model, pipe.processor, opened.image, forced, best.word, method, size=size)
    known = f"“{best.word.text}”: {best.seen:.0%} likely, {best.covered:.0%} with the image covered"
    if heat.values.max() <= 0:
        return AnswerMap(None, f"{known}; by {method}, no part of the image speaks for it")
    small = opened.image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return AnswerMap(draw_heat(small, heat), f"{known} ({method})")
