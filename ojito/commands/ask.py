"""`ojito ask`: a question about a picture, or a conversation about it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from ojito.commands.answering import drawing, load_model
from ojito.pipeline import Pipeline
from ojito.processor import RowError
from ojito.processor.images import open_image
from ojito.records import Sample, Turn

PROMPT = "> "


def run(args: Namespace) -> int:
    """Answers the question, or each line of stdin until it ends."""
    pipe, how = load_model(args), drawing(args)
    picture = open_image(args.image, pipe.processor.config.image.max_pixels)  # once, however many questions follow
    said: tuple[Turn, ...] = ()
    for question in _lines(args.image) if args.question is None else [args.question]:
        asked = _fitting(pipe, picture, said, question)
        if args.json:
            (answer,) = pipe.generate([asked], **how)
            text = str(answer)
            result: dict[str, Any] = {"image": args.image, "question": question, "answer": text}
            result.update(finish=answer.finish, tokens=len(answer.tokens))
            print(json.dumps(result, ensure_ascii=False), flush=True)
        else:
            text = _say(pipe, asked, how)
        if pipe.processor.config.prompt.turns == "chat" and text:
            said = (*said, Turn(question, (text,)))  # a blind model never learned to read what was said before
    return 0


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


def _say(pipe: Pipeline, asked: Sample, how: dict[str, Any]) -> str:
    """Prints the answer as it comes; returns it."""
    text = ""
    for piece in pipe.stream(asked, **how):
        print(piece, end="", flush=True)
        text += piece
    print(flush=True)
    return text
