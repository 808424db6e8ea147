"""`ojito segment`: which pixels of a picture belong to a thing."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.answering import drawing, load_model
from ojito.commands.boxes import check_out, show
from ojito.processor.images import open_image


def run(args: Namespace) -> int:
    """Shows boxes and sizes of the masks, and draws both where --out says."""
    check_out(args)
    pipe, how = load_model(args), drawing(args)
    picture = open_image(args.image, pipe.processor.config.image.max_pixels)
    show(args, picture, pipe.segment(picture, args.things, args.weights, **how))
    return 0
