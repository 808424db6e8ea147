"""`ojito segment`: which pixels of a picture belong to a thing."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.locate import find


def run(args: Namespace) -> int:
    """Shows boxes and sizes of the masks, draws both where --out says, and writes the masks where --masks says."""
    return find(args, args.weights, args.masks)
