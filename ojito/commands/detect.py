"""`ojito detect`: where things are in a picture."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.locate import find


def run(args: Namespace) -> int:
    """Shows the boxes, and draws them where --out says."""
    return find(args)
