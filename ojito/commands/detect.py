"""`ojito detect`: where things are in a picture."""

from __future__ import annotations

from argparse import Namespace

from ojito.commands.answering import drawing, load_model
from ojito.commands.boxes import check_out, show
from ojito.processor.images import open_image


def run(args: Namespace) -> int:
    """Shows the boxes, and draws them where --out says."""
    check_out(args)
    pipe, how = load_model(args), drawing(args)
    picture = open_image(args.image, pipe.processor.config.image.max_pixels)
    show(args, picture, pipe.detect(picture, args.things, **how))
    return 0
