"""`ojito ask`: a question about a picture, or a conversation about it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from ojito.commands.inputs import check_image, drawing, load_model, naming_the_flag
from ojito.generate import GenerateOptions
from ojito.pipeline import Pipeline
from ojito.processor import RowError
from ojito.records import Sample, Turn

PROMPT = "> "


def run(args: Namespace) -> int:
    """Answers the question, or each line of stdin until it ends."""
    check_image(args)
    options, pipe = drawing(args), load_model(args, args.max_pixels)
    # Once, however many questions follow.
    with naming_the_flag():
        picture = pipe.processor.open_image(args.image).image
    said: tuple[Turn, ...] = ()
    for question in _lines(args.image) if args.question is None else [args.question]:
        asked = _fitting(pipe, picture, said, question)
        if args.json:
            (answer,) = pipe.generate([asked], options)
            text = str(answer)
            result: dict[str, Any] = {"image": args.image, "question": question, "answer": text}
            result.update(finish=answer.finish, tokens=len(answer.tokens))
            print(json.dumps(result, ensure_ascii=False), flush=True)
        else:
            text = _say(pipe, asked, options)
        if _chats(pipe) and text:
            said = (*said, Turn(question, (text,)))
    return 0


def _chats(pipe: Pipeline) -> bool:
    """Whether the model learned to read what was said before: with blind turns, or as PaliGemma, it never did."""
    return pipe.processor.config.prompt.turns == "chat" and pipe.model.config.decoder.mask != "prefix"


def _lines(image: str) -> Iterator[str]:
    """What is typed, or piped in, a question a line."""
    typed = sys.stdin.isatty()
    if typed:
        print(f"Ask about {image}; Ctrl-D ends.", file=sys.stderr)
    while True:
        if typed:
            print(PROMPT, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _fitting(pipe: Pipeline, picture: Any, said: Sequence[Turn], question: str) -> Sample:
    """The question after what was said before; the oldest of that is forgotten when it gets too much."""
    while True:
        asked = Sample([picture], turns=(*said, Turn(question)))
        try:
            pipe.processor.row(asked)
        except RowError:
            if not said:
                raise
            said = said[1:]
        else:
            return asked


def _say(pipe: Pipeline, asked: Sample, options: GenerateOptions) -> str:
    """Prints the answer as it comes; returns it."""
    text = ""
    for piece in pipe.stream(asked, options=options):
        print(piece, end="", flush=True)
        text += piece
    print(flush=True)
    return text
