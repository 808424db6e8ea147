"""`ojito segment`: which pixels of an image belong to a thing."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.locate import find


def run(args: Namespace) -> int:
    """Show boxes and sizes of the masks, draw both where --out says, and write the masks where --masks says."""
    return find(args, args.weights, args.masks)
