"""`ojito build`: join a public vision tower and a public decoder to a new model, for `ojito train --from`."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from ojito.building import build
from ojito.commands.console import count, is_preset, progress, short
from ojito.commands.hints import check_words
from ojito.commands.paths import check_place


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
            device=args.device,
            dtype="float32",
            seed=args.seed or 0,
            settings=args.settings,
            progress=report,
        )
    pipe.save(out)
    parameters, tokens = count(pipe.model), pipe.model.config.image_tokens
    total = sum(parameters.values())
    if args.json:
        values = {"out": str(out), "name": pipe.name, "parameters": {**parameters, "total": total}}
        print(json.dumps({**values, "image_tokens": tokens}, indent=1))
        return 0
    print(f"{pipe.name}: {short(total)} parameters, {tokens} tokens per image; the model is in {out}")
    connector = f"connector ({short(parameters['connector'])})"
    if is_preset(args.vision):
        print(f"its tower ({short(parameters['vision'])}) and its {connector} are untrained; next:")
    else:
        print(f"its {connector} is untrained; next:")
    print(f"  ojito train --from {out} --data captions.jsonl --out {out}-trained")
    return 0
