"""`ojito look`: the words of an answer, how sure the model was of each, and where in the image they come from."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ojito.commands.inputs import check_image, load_model, naming_the_flag
from ojito.commands.locate import check_out, check_size
from ojito.errors import OjitoError, UsageError
from ojito.pipeline import Pipeline
from ojito.probe.forced import ForcedAnswer, Word, force
from ojito.probe.looking import check_method, look
from ojito.probe.maps import HeatMap, draw_heat, draw_sheet
from ojito.probe.words import SaidToken, said_tokens, word_probabilities
from ojito.processor.images import OpenedImage

_COLUMNS = ("word", "probability", "in its place")
_LEAST = 0.0005  # probability of an alternative that is told: less would be 0.0%


def run(args: Namespace) -> int:
    """Show the words, and draw the map of one or of each where --out says."""
    if args.method is None:
        args.method = "relevance" if args.layer is args.head is None else "attention"
    check_method(args.method, args.layer, args.head)
    for name in ("layer", "head"):
        if getattr(args, name) is not None and args.out is None and not args.json:
            raise UsageError(f"--{name}", "chooses a map, and none is drawn", "add --out map.png, or --json")
    if args.answer is not None and not args.answer.strip():
        raise UsageError("--answer", "is empty", "give one, or leave it out to look at the model's own")
    check_out(args)
    checked = check_image(args)
    if checked is not None and args.word is not None:
        check_size(args, checked)
    pipe = load_model(args, args.max_pixels)
    with naming_the_flag():
        opened = pipe.processor.open_image(args.image)
    answer: Any = args.answer
    if answer is None:
        answer = pipe.ask(opened.image, args.prompt, max_new_tokens=args.max_new_tokens).tokens
        if not answer:
            raise OjitoError(args.image, "the model said nothing about it", "ask with --prompt, or give an --answer")
    forced = force(pipe.processor, opened.image, args.prompt, answer)
    spelt = [word for word in forced.words if any(map(str.isalnum, word.text))]  # not the punctuation
    words = spelt if args.word is None else [forced.find(args.word)]
    mapped = words if args.out or args.json else []
    heats = [_map(args, pipe, opened, forced, word) for word in mapped]
    _show(args, pipe, forced, mapped, heats)
    for word, heat in zip(mapped, heats, strict=True):
        if heat.values.max() <= 0:
            note = f"ojito: by {args.method}, no part of the image speaks for {word.text!r}"
            print(note, file=sys.stderr, flush=True)
    if args.out is not None:
        _draw(args, opened, mapped, heats)
    return 0


def _map(args: Namespace, pipe: Pipeline, opened: OpenedImage, forced: ForcedAnswer, word: Word) -> HeatMap:
    size = (opened.width, opened.height)
    how = (args.method, args.layer, args.head, args.cells)
    return look(pipe.model, pipe.processor, opened.image, forced, word, *how, size=size)


def _show(args: Namespace, pipe: Pipeline, forced: ForcedAnswer, words: list[Word], heats: list[HeatMap]) -> None:
    """Write the words to stdout, as a table or, with their maps, as JSON."""
    batch = forced.batch(pipe.processor)
    said = said_tokens(pipe.model, pipe.processor, forced)
    probabilities = word_probabilities(pipe.model, batch, forced)
    if args.json:
        values: dict[str, Any] = {"image": args.image, "prompt": args.prompt, "answer": forced.text}
        values.update(method=args.method, layer=args.layer, head=args.head, out=args.out)
        values["words"] = [
            {"word": word.text, "probability": probability, "tokens": [_values(said[i]) for i in word.tokens]}
            for word, probability in probabilities
        ]
        values["maps"] = [
            {"word": word.text, "peak": heat.peak, "covers": heat.covers, "values": heat.values.tolist()}
            for word, heat in zip(words, heats, strict=True)
        ]
        print(json.dumps(values, ensure_ascii=False), flush=True)
        return
    rows = [_COLUMNS]
    for word, probability in probabilities:
        others = ", ".join(f"{text.strip()} {p:.1%}" for text, p in said[word.tokens[0]].alternatives if p >= _LEAST)
        rows.append((word.text, f"{probability:.1%}", others))
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    for row in rows:
        print(f"{row[0]:<{first}}  {row[1]:>{second}}  {row[2]}".rstrip())


def _values(token: SaidToken) -> dict[str, Any]:
    others = [{"text": text, "probability": p} for text, p in token.alternatives]
    return {"text": token.text, "probability": token.probability, "alternatives": others}


def _draw(args: Namespace, opened: OpenedImage, words: list[Word], heats: list[HeatMap]) -> None:
    if args.word is not None:
        picture = draw_heat(opened.image, heats[0])
    else:
        picture = draw_sheet(opened.image, heats, [word.text for word in words])
    picture.save(Path(args.out))
