"""`ojito build`: join a public vision tower and a public decoder to a new model, for `ojito train --from`."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from ojito.building import build
from ojito.checkpoint.files import CheckpointError
from ojito.commands.console import count, is_preset, progress, short
from ojito.commands.hints import check_words
from ojito.commands.paths import check_place
from ojito.pipeline import Pipeline


def run(args: Namespace) -> int:
    """Join the parts, and save them in float32, which training needs."""
    check_words(args.settings)
    out = Path(args.out)
    check_place(out, args.force)
    with progress("fetching the parts") as report:
        pipe = build(
            vision=args.vision,
            decoder=args.decoder,
            connector=args.connector,
            like=args.like,
            device=args.device,
            dtype="float32",
            seed=args.seed or 0,
            settings=args.settings,
            progress=report,
        )
    pipe.save(out)
    family, why_not = _export_family(pipe)
    parameters, tokens = count(pipe.model), pipe.model.config.image_tokens
    total = sum(parameters.values())
    if args.json:
        values = {"out": str(out), "name": pipe.name, "parameters": {**parameters, "total": total}}
        print(json.dumps({**values, "image_tokens": tokens, "export": family, "no_export": why_not}, indent=1))
        return 0
    print(f"{pipe.name}: {short(total)} parameters, {tokens} tokens per image; the model is in {out}")
    if family:
        print(f"it can be exported as {family}, which transformers loads (ojito convert), now and after training")
    else:
        hint = "" if args.like or pipe.model.config.vision.kind != "vit" else "; --like makes one that can be"
        print(f"it cannot be exported: {why_not}{hint}")
    connector = f"connector ({short(parameters['connector'])})"
    if is_preset(args.vision):
        print(f"its tower ({short(parameters['vision'])}) and its {connector} are untrained; next:")
    else:
        print(f"its {connector} is untrained; next:")
    print(f"  ojito train --from {out} --data captions.jsonl --out {out}-trained")
    return 0


def _export_family(pipe: Pipeline) -> tuple[str | None, str | None]:
    """The public family that the model can be exported as; where there is none, why."""
    try:
        return pipe.export_family(), None
    except CheckpointError as error:
        where = "" if error.where == pipe.name else f"{error.where} "
        return None, f"{where}{error.problem}"
