"""`ojito ask`: a question about an image, or a conversation about it."""

from __future__ import annotations

import io
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from ojito.commands.inputs import check_image, generate_options, load_model, naming_the_flag
from ojito.commands.stats import stats, stats_line
from ojito.errors import UsageError
from ojito.generate import GenerateOptions
from ojito.meter.clock import Stopwatch, watching
from ojito.pipeline import Pipeline
from ojito.processor import RowError
from ojito.processor.prompts import check_typed
from ojito.records import Sample, Turn

PROMPT = "> "


def run(args: Namespace) -> int:
    """Answer the question, or each line of stdin until it ends.

    In a conversation, a line that cannot be asked is named, and the next one is answered; the exit code is then 2.
    """
    _check_words(args)
    if args.image is not None:
        check_image(args)
    options, clock = generate_options(args), Stopwatch(torch.device("cpu"))
    pipe = load_model(args, args.max_pixels)
    model = pipe.prepared(once=args.question is not None)
    load_seconds = clock.lap()
    images: list[Any] = []
    if args.image is not None:
        with naming_the_flag():
            images = [pipe.processor.open_image(args.image).image]  # once, however many questions follow
    earlier: tuple[Turn, ...] = ()
    failed, told = False, not _is_captioner(pipe)
    for question in _lines(args.image or pipe.name) if args.question is None else [args.question]:
        try:
            sample = _fit(pipe, images, earlier, question, args.system or "")
        except RowError as error:
            if args.question is not None:
                raise
            failed = True
            print(f"ojito: error: {error}", file=sys.stderr, flush=True)
            continue
        if not told:
            told = True
            note = f"ojito: {pipe.name} was trained to caption images, not to answer questions; try `ojito caption`"
            print(note, file=sys.stderr, flush=True)
        result: dict[str, Any] = {"image": args.image, "question": question}
        with watching(model) if args.stats else nullcontext() as watch:
            if args.json:
                (answer,) = pipe.generate([sample], options)
                text = str(answer)
                result.update(answer=text, finish=answer.finish, tokens=len(answer.tokens))
            else:
                text = _stream(pipe, sample, options)
        if watch is not None:
            result["stats"] = stats(watch, load_seconds, pipe.device)
            if not args.json:
                print(f"ojito: {stats_line(result['stats'])}", file=sys.stderr, flush=True)
        if args.json:
            print(json.dumps(result, ensure_ascii=False), flush=True)
        if _chats(pipe) and text:
            earlier = (*earlier, Turn(question, (text,)))
    return 2 if failed else 0


def _check_words(args: Namespace) -> None:
    """Check that there is an image, or is none on purpose: then the word in its place is the question.

    Raises:
        UsageError: Neither, or both.
    """
    if args.no_image and args.question is None:
        args.image, args.question = None, args.image
    if args.no_image and args.image is not None:
        raise UsageError("--no-image", f"asks without an image, and {args.image} is one", "leave one of them out")
    if not args.no_image and args.image is None:
        raise UsageError("", "ask needs an image", "name one after the model, or say --no-image")


def _chats(pipe: Pipeline) -> bool:
    """Whether the model learned to read what was said before: with blind turns, or as PaliGemma, it never did."""
    return pipe.processor.config.prompt.turns == "chat" and pipe.model.config.decoder.mask != "prefix"


def _is_captioner(pipe: Pipeline) -> bool:
    """Whether the model was trained on captions alone, as far as anybody knows."""
    learned = pipe.learned
    return learned is not None and learned.captions and not (learned.questions or learned.before)


def _lines(image: str) -> Iterator[str]:
    """The questions that are typed or piped in, one a line."""
    typed = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are not UTF-8 spoil their own line only
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


def _fit(pipe: Pipeline, images: Sequence[Any], earlier: Sequence[Turn], question: str, system: str) -> Sample:
    """The question after the earlier turns, of which the oldest are dropped until the row fits.

    Raises:
        RowError: The question cannot be asked, not even alone.
    """
    turn = Turn(check_typed(question))
    while True:
        sample = Sample(list(images), turns=(*earlier, turn), system=system)
        try:
            pipe.processor.row(sample)
        except RowError:
            if not earlier:
                raise
            earlier = earlier[1:]
        else:
            return sample


def _stream(pipe: Pipeline, sample: Sample, options: GenerateOptions) -> str:
    """Print the answer as it comes, and return it."""
    text = ""
    for piece in pipe.stream(sample, options=options):
        print(piece, end="", flush=True)
        text += piece
    print(flush=True)
    return text
