"""`ojito ask`: a question about a picture, or a conversation about it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from ojito.commands.answering import drawing, load_model
from ojito.pipeline import Pipeline
from ojito.processor.images import open_image
from ojito.records import Sample

PROMPT = "> "


def run(args: Namespace) -> int:
    """Answers the question, or each line of stdin until it ends."""
    pipe, how = load_model(args), drawing(args)
    picture = open_image(args.image, pipe.processor.config.image.max_pixels)  # once, however many questions follow
    for question in _lines(args.image) if args.question is None else [args.question]:
        if args.json:
            (answer,) = pipe.generate([Sample([picture], prompt=question)], **how)
            result: dict[str, Any] = {"image": args.image, "question": question, "answer": str(answer)}
            result.update(finish=answer.finish, tokens=len(answer.tokens))
            print(json.dumps(result, ensure_ascii=False), flush=True)
        else:
            _say(pipe, picture, question, how)
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


def _say(pipe: Pipeline, picture: Any, question: str, how: dict[str, Any]) -> None:
    for piece in pipe.stream(picture, question, **how):
        print(piece, end="", flush=True)
    print(flush=True)
