"""`ojito data`: what was understood of a file or folder of data, and what training would see of it."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from typing import Any

from ojito.checkpoint.folder import describe
from ojito.commands.console import progress
from ojito.commands.train import DEFAULT
from ojito.config import Config
from ojito.data import Source, open_data, training_texts
from ojito.data.aspect import distortion
from ojito.data.overview import Overview, examples_of, overview, table
from ojito.data.page import page
from ojito.errors import UsageError
from ojito.loading import check_vocabulary, find_folder, find_preset, recipe_of
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from ojito.web_page import write_page

_MAX_BAD = 1.0  # whatever is wrong is shown, not refused
_SHOWN = 3  # examples in the terminal


def run(args: Namespace) -> int:
    """Show the data."""
    if args.model is not None and args.preset is not None:
        raise UsageError("", f"--model {args.model} and --preset {args.preset} are two models", "name one of them")
    if args.examples < 0:
        raise UsageError(f"--examples {args.examples}", "is less than none", "use 0 or more")
    config = _config(args)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=args.data, max_bad=_MAX_BAD))
    with progress(f"indexing {args.data}") as report:
        source = open_data(config, report)
    if not isinstance(source, Source):
        raise UsageError(args.data, "are drawn, and have no rows to show", "give a file, a folder or photos16")
    seed = args.seed or 0
    found = _with_distortion(overview(source, seed), config, new=args.model is None)
    if args.json:
        examples = [_values(sample) for sample in examples_of(source, args.examples, seed)]
        print(json.dumps({**found.to_dict(), "examples": examples}, ensure_ascii=False, indent=1))
    else:
        print(table(found, examples=examples_of(source, min(args.examples, _SHOWN), seed)))
    if args.html is not None:
        processor = None if args.model is None and args.preset is None else _processor(args, config, source)
        samples = examples_of(source, args.examples, seed)
        write_page(args.html, page(found, table(found), samples, processor))
        print(f"ojito: the examples are in {args.html}", file=sys.stderr)
    return 0


def _config(args: Namespace) -> Config:
    """The recipe whose settings say how data are read."""
    if args.model is None:
        return find_preset(args.preset or DEFAULT)
    with progress(f"fetching {args.model}") as report:
        folder = find_folder(args.model, report)
    if folder is None:
        find_preset(args.model)
        raise UsageError(f"--model {args.model}", "is a preset", f"write --preset {args.model}")
    return recipe_of(folder)


def _with_distortion(found: Overview, config: Config, new: bool) -> Overview:
    """The overview with a note where the model's squares take much from these images; a `new` model may have tiles."""
    lost, remedy = distortion(found.aspect, config.processor.image, config.model.vision.image_size)
    said = [f"{lost}; {remedy}" if new else lost] if lost else []
    return dataclasses.replace(found, notes=[*found.notes, *said])


def _processor(args: Namespace, config: Config, source: Source) -> Processor:
    """The processor of the model, or of the preset with a tokenizer learned from these data, as training would."""
    if args.model is None:
        vocabulary = config.model.decoder.vocab_size
        split = "train" if "train" in source.splits else next(iter(source.splits))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, split=split))
        tokenizer = Tokenizer.train(config.processor.tokenizer, training_texts(source, config), vocabulary)
        return Processor.for_model(config.processor, tokenizer, config.model)
    described = describe(find_folder(args.model) or args.model)
    tokenizer = Tokenizer.read(described.tokenizer, described.processor.tokenizer)
    check_vocabulary(described.path, tokenizer, described.model.decoder.vocab_size)
    return Processor.for_model(described.processor, tokenizer, described.model)


def _values(sample: Sample) -> dict[str, Any]:
    turns = [{"prompt": t.prompt, "answers": [*t.answers], "kind": t.kind} for t in sample.turns]
    images = ["bytes" if isinstance(image, bytes) else str(image) for image in sample.images]
    return {"origin": sample.origin, "split": sample.split, "images": images, "chat": sample.chat, "turns": turns}
