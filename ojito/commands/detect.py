"""`ojito detect`: where things are in an image."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.locate import find


def run(args: Namespace) -> int:
    """Show the boxes, and draw them where --out says."""
    return find(args)
