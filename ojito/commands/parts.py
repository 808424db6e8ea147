"""`ojito parts`: list the parts that a model can begin with, and how to get them."""

from __future__ import annotations

import json
from argparse import Namespace

from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.parts import WITH_TOWER
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.packaged import INSTALL, PACKAGED


def run(args: Namespace) -> int:
    """Print the towers of the package index, a line each, and the kinds of folders that have parts."""
    packaged = [
        {
            "name": name,
            "installed": one.find() is not None,
            "about": one.about,
            "licence": one.licence,
            "package": one.package,
        }
        for name, one in PACKAGED.items()
    ]
    towers, decoders = sorted({*TOWERS, *WITH_TOWER}), sorted(DECODERS)
    if args.json:
        print(json.dumps({"packaged": packaged, "towers": towers, "decoders": decoders, "install": INSTALL}, indent=1))
        return 0
    width = max(map(len, PACKAGED))
    print(f"{'vision tower':<{width}}  installed  licence     description")
    for one in packaged:
        there = "yes" if one["installed"] else "no"
        print(f"{one['name']:<{width}}  {there:<9}  {one['licence']}  {one['about']}")
    if not all(one["installed"] for one in packaged):
        print(f"\nThey are in the Python package index: {INSTALL}")
    print(
        '\nAlso, out of a folder in Hugging Face\'s form, or "owner/name" on the Hub:\n'
        f"  vision towers  model_type {', '.join(towers)}\n"
        f"  decoders       model_type {', '.join(decoders)}\n"
        "and of every vision-language model that Ojito loads, its own included.\n\n"
        "  ojito build --vision efficientnet-lite2 --decoder FOLDER --out runs/new\n"
        "  ojito train --preset photos --data FOLDER"
    )
    return 0
