"""`ojito presets`: list the models to start from."""

from __future__ import annotations

import json
from argparse import Namespace

from ojito.commands.console import count, short
from ojito.model.meta import on_meta
from ojito.presets import PRESETS, describe, preset


def run(args: Namespace) -> int:
    """Print one line for each preset."""
    rows = []
    for name in PRESETS:
        config = preset(name).model
        parameters = sum(count(on_meta(config, name)).values())
        rows.append((name, parameters, config.image_tokens, describe(name)))
    if args.json:
        keys = ("name", "parameters", "image_tokens", "about")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
        return 0
    width = max(len(name) for name in PRESETS)
    print(f"{'name':<{width}}  parameters  image tokens  description")
    for name, parameters, tokens, about in rows:
        print(f"{name:<{width}}  {short(parameters):>10}  {tokens:>12}  {about}")
    return 0
