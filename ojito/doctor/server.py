"""What a server does to images before its model sees them, found out by asking about images with plain answers.

The questions are so easy that a model that cannot answer them could not be used. Where one fails all the same, words
without an image are asked for: who answers those, and says the same of every image, gets none.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from ojito.doctor import drawings
from ojito.doctor.drawings import COLOURS, CORNERS, Edge
from ojito.doctor.endpoint import ChatEndpoint, RefusedError, ServerError
from ojito.doctor.finding import Finding, Report, alarm, healthy, note, skipped
from ojito.records import Progress

_COLOUR = "What is the main color of this image? Answer with one word."
_SQUARE = "There is one square in this image. What color is it? Answer with one word."
_CORNER = (
    "There is one square in this image. Where is it: top left, top right, bottom left or bottom right? "
    "Answer with these words only."
)
_WORDS = {
    "What color is fresh grass? Answer with one word.": "green",
    "What color is a clear sky by day? Answer with one word.": "blue",
}
_NTH = "There are two images. What is the main color of the {} image? Answer with one word."
_DIGIT = "Which digit is drawn in this image? Answer with the digit only."
_EDGES: tuple[Edge, ...] = ("left", "right", "top", "bottom", "far left", "far right")
_FEW = 4  # tokens more than without an image: what wraps an image that was dropped may take some

Corner = tuple[int, int]

_TURNS: dict[str, Callable[[int, int], Corner]] = {
    "upright": lambda x, y: (x, y),
    "mirrored, left for right": lambda x, y: (1 - x, y),
    "upside down": lambda x, y: (1 - x, 1 - y),
    "mirrored, top for bottom": lambda x, y: (x, 1 - y),
    "turned a quarter to the right": lambda x, y: (1 - y, x),
    "turned a quarter to the left": lambda x, y: (y, 1 - x),
    "with rows and columns exchanged": lambda x, y: (y, x),
    "with rows and columns exchanged and turned by half": lambda x, y: (1 - y, 1 - x),
}


def examine_server(
    url: str,
    model: str = "",
    key: str = "",
    seconds: float = 60.0,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Examine how a server hands images to its model. Takes about 30 short answers.

    Args:
        url: Address of an OpenAI-compatible endpoint, up to the version: "http://127.0.0.1:8000/v1".
        model: Name of the model; "" takes the first that the server lists.
        key: Sent as a bearer token; "" sends none.
        seconds: For all of it; what there is no time for is skipped.
        progress: Called with the examinations that are done, and with all of them.

    Raises:
        ServerError: The address is none, or no chat endpoint answers there.
    """
    endpoint = ChatEndpoint(url, model, key, seconds)
    endpoint.ask("Hello")  # an error of address, model or key is one of the user's
    findings: list[Finding] = []
    steps: dict[str, Callable[[ChatEndpoint], Finding]] = {
        "image received": received,
        "digits": digits,
        "upright": upright,
        "exif": exif,
        "whole": whole,
        "image order": order,
    }
    blocked = ""
    for number, (name, examine) in enumerate(steps.items()):
        progress(number, len(steps))
        before = len(endpoint.asked)
        if blocked and not (blocked == "upright" and name != "exif"):
            finding = skipped(f"not before {blocked} is healthy")
        elif not endpoint.time_left:
            finding = skipped("no time was left")
        else:
            finding = _try(examine, endpoint)
        shown = tuple(endpoint.asked[before:])
        findings.append(dataclasses.replace(finding, examination=finding.examination or name, shown=shown))
        if name == "image received" and finding.severity != "healthy":
            blocked = name
        if name == "upright" and finding.severity != "healthy" and not blocked:
            blocked = name
    progress(len(steps), len(steps))
    return Report(f"{endpoint.model} at {endpoint.url}", tuple(findings))


def received(endpoint: ChatEndpoint) -> Finding:
    """Does the model see an image at all?"""
    without = endpoint.ask(_COLOUR)
    replies = {}
    for colour in COLOURS:
        try:
            replies[colour] = endpoint.ask(_COLOUR, [drawings.filled(colour)])
        except RefusedError as error:
            return alarm(f"a question with an image is refused: {error.problem}", "serve a model that reads images")
    said = {colour: reply.text.strip() for colour, reply in replies.items()}
    found = {colour: _colours(text) for colour, text in said.items()}
    right = [colour for colour in COLOURS if found[colour] == {colour}]
    counted = min(r.prompt_tokens for r in replies.values()) - without.prompt_tokens if without.prompt_tokens else None
    evidence: dict[str, Any] = {"answers": said, "without_image": without.text.strip(), "image_tokens": counted}
    if len(right) >= len(COLOURS) - 1:
        return healthy(f"{len(right)} of {len(COLOURS)} colours are right", **evidence)
    if (found["red"], found["blue"], found["green"]) == ({"blue"}, {"red"}, {"green"}):
        return dataclasses.replace(
            alarm("red and blue are exchanged", "the server hands on BGR: open images as RGB", **evidence),
            examination="channels",
        )
    words = {question: endpoint.ask(question).text.strip() for question in _WORDS}
    evidence["words"] = list(words.values())
    knows = any(answer in words[question].lower() for question, answer in _WORDS.items())
    same = len({*said.values()}) == 1
    if not knows or len({*said.values(), *words.values()}) == 1:  # whoever always says "green" is right about grass
        return dataclasses.replace(
            note(
                "cannot tell: the model answers neither questions about images nor about words",
                "if it should answer such questions, check its name, chat template and weights; "
                "examine its folder with `ojito doctor MODEL`",
                **evidence,
            ),
            examination="answers",
        )
    if counted is not None and counted > _FEW:
        return note(
            f"an image counts as {counted} tokens, but its colour is not told: the model may not know colours",
            "ask it about images that it should know",
            **evidence,
        )
    # Not every server counts image tokens. But a question has one greedy answer, unless it is about other images.
    if same or endpoint.ask(_COLOUR, [drawings.filled("red")]).text.strip() != said["red"]:
        return alarm(
            "the server drops images: the model answers questions about words, and the same for every image",
            "check that the endpoint takes image_url parts, and that the chat template writes images",
            **evidence,
        )
    return note("answers change with the image, and are wrong", "ask it about images that it should know", **evidence)


def digits(endpoint: ChatEndpoint) -> Finding:
    """Is an image fine enough that a large digit can be read?"""
    said = {one: endpoint.ask(_DIGIT, [drawings.digit(one)]).text.strip() for one in drawings.DIGITS}
    right = sum(one in re.findall(r"\d", text) for one, text in said.items())
    if right:
        return healthy(f"{right} of {len(said)} digits are read", answers=said)
    return note("no digit is read: images may arrive very small, or turned", "see upright and whole", answers=said)


def upright(endpoint: ChatEndpoint) -> Finding:
    """Is an image seen as it was sent: not turned, not mirrored?"""
    found, said = _turn(endpoint, "red")
    if found == "upright":
        return healthy("a square is seen in the quarter where it is", answers=said)
    again, more = _turn(endpoint, "blue") if found else ("", {})
    if found and again == found:
        remedy = "look for a transposed array, or for an image flipped while it is loaded"
        return alarm(f"images are seen {found}", remedy, answers=said, again=more, turn=found)
    return note("the model does not tell where things are", "ask it where things are in your images", answers=said)


def exif(endpoint: ChatEndpoint) -> Finding:
    """Is a photograph turned as its EXIF says?"""
    found, said = _turn(endpoint, "red", drawings.photograph)
    if found == "upright":
        return healthy("a JPEG is turned as its EXIF says", answers=said)
    if found:
        return note(
            f"EXIF is ignored: photographs of a phone are seen {found}",
            "turn them before they are sent: PIL.ImageOps.exif_transpose",
            answers=said,
        )
    return note("the model does not tell where things are in a JPEG", "send PNG", answers=said)


def whole(endpoint: ChatEndpoint) -> Finding:
    """Is all of an image seen, up to its edges?"""
    if not _sees_square(endpoint, "middle", "red"):
        return note("the model does not tell the colour of a small square", "ask it about larger things")
    names = [*COLOURS]
    lost: list[Edge] = []
    unsure: list[Edge] = []
    for number, edge in enumerate(_EDGES):
        colours = names[number % len(names) :] + names[: number % len(names)]
        if _sees_square(endpoint, edge, colours[0]):
            continue
        # What was cut off can change no answer. One that changes with the color is that of a weak model.
        said = {endpoint.ask(_SQUARE, [drawings.at_edge(edge, colour)]).text.strip() for colour in colours}
        # Nor does a model that errs further inside, too, show where an image ends.
        cut = len(said) == 1 and all(_sees_square(endpoint, edge, colour, inside=True) for colour in colours)
        (lost if cut else unsure).append(edge)
    if lost:
        return alarm(
            f"images are cropped: what is at the edge is not seen ({', '.join(lost)})",
            "resize or pad images in place of cropping their middle",
            lost=lost,
        )
    if unsure:
        return note(
            f"the model does not tell the colour of small squares at the edge, nor of others ({', '.join(unsure)})",
            "ask it about larger things",
            unsure=unsure,
        )
    return healthy("squares at all edges are seen, of a wide image, too", edges=list(_EDGES))


def order(endpoint: ChatEndpoint) -> Finding:
    """Are two images seen in the order in which they were sent?"""
    right = exchanged = 0
    seen: list[tuple[str, str]] = []
    said: list[str] = []
    for pair in (("red", "blue"), ("green", "yellow")):
        images = [drawings.filled(colour) for colour in pair]
        for number, nth in enumerate(("first", "second")):
            try:
                text = endpoint.ask(_NTH.format(nth), images).text
            except RefusedError as error:
                return note(f"two images in one message are refused: {error.problem}", "send one at a time")
            said.append(text.strip())
            found = _colours(text)
            right += found == {pair[number]}
            exchanged += found == {pair[1 - number]}
            seen += [(nth, which) for which, colour in zip(("first", "last"), pair, strict=True) if found == {colour}]
    evidence = {"answers": said, "right": right, "exchanged": exchanged}
    if right == len(said):
        return healthy("two images are seen in their order", **evidence)
    if exchanged == len(said):
        return alarm("images are reordered: the first is taken for the second", "keep their order", **evidence)
    kept = {which for _, which in seen}
    if len(seen) == len(said) and len(kept) == 1:
        return alarm(
            f"of two images, only the {kept.pop()} is seen",
            "hand all images of a message to the model",
            **evidence,
        )
    return note("the model does not tell which of two images is which", "ask it about one at a time", **evidence)


def _try(examine: Callable[[ChatEndpoint], Finding], endpoint: ChatEndpoint) -> Finding:
    try:
        return examine(endpoint)
    except ServerError as error:
        return alarm(str(error), error.remedy) if endpoint.time_left else skipped("no time was left")


def _colours(text: str) -> set[str]:
    """The colours that an answer names."""
    return {*re.findall(r"red|green|blue|yellow", text.lower())}


def _sees_square(endpoint: ChatEndpoint, edge: Edge, colour: str, inside: bool = False) -> bool:
    return _colours(endpoint.ask(_SQUARE, [drawings.at_edge(edge, colour, inside)]).text) == {colour}


def _turn(
    endpoint: ChatEndpoint, colour: str, sent: Callable[[Image.Image], Image.Image | bytes] = lambda image: image
) -> tuple[str, dict[str, str]]:
    """Ask where a square is, for each quarter.

    Returns:
        How images are seen: a name in `_TURNS`, or "" where no turn explains the answers; and the answers. One of them
        may be wrong where the others are upright.
    """
    said = {corner: endpoint.ask(_CORNER, [sent(drawings.quarter(corner, colour))]).text.strip() for corner in CORNERS}
    places = {CORNERS[corner]: _corner(text) for corner, text in said.items()}
    explained = {name: sum(turn(*place) == seen for place, seen in places.items()) for name, turn in _TURNS.items()}
    if explained["upright"] >= len(CORNERS) - 1:
        return "upright", said
    return next((name for name, count in explained.items() if count == len(CORNERS)), ""), said


def _corner(text: str) -> Corner | None:
    """The one quarter that an answer names."""
    lower = text.lower()
    across = _only(lower, {"left": 0, "right": 1})
    down = _only(lower, {"top": 0, "upper": 0, "bottom": 1, "lower": 1})
    return None if across is None or down is None else (across, down)


def _only(text: str, words: dict[str, int]) -> int | None:
    found: Sequence[int] = [*{number for word, number in words.items() if word in text}]
    return found[0] if len(found) == 1 else None
