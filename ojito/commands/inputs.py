"""What the commands share that look at pictures: the model, the pictures, and how answers are drawn."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path

from PIL import Image

from ojito.commands.console import progress, tell_random
from ojito.config import ImageConfig
from ojito.generate import GenerateOptions, make_options
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.processor import ImageError
from ojito.processor.images import open_image

LIMIT = "processor.image.max_pixels"
"""The setting that --max-pixels stands in for: these commands take no settings."""


def load_model(args: Namespace, max_pixels: int | None = None) -> Pipeline:
    """The model of the command; says so when it has never learned anything.

    Args:
        args: Of the command.
        max_pixels: The most pixels of a picture; None leaves it at what the model's processor says.
    """
    with progress(f"loading {args.model}") as tell:
        pipe = load(args.model, device=args.device, seed=args.seed or 0, progress=tell)
    tell_random(args.model)
    if max_pixels is not None:
        config = pipe.processor.config
        image = dataclasses.replace(config.image, max_pixels=max_pixels)
        pipe.processor.config = dataclasses.replace(config, image=image)
    return pipe


def check_picture(args: Namespace) -> Image.Image | None:
    """The picture, before the time that a model takes; None where it is so large that the model's own limit decides.

    Raises:
        ImageError: It cannot be read, by whatever model.
    """
    try:
        return open_picture(args.image, args.max_pixels or ImageConfig.max_pixels)
    except ImageError as error:
        if args.max_pixels is None and "--max-pixels" in error.remedy:
            return None
        raise


def open_picture(path: Path | str, max_pixels: int) -> Image.Image:
    """As `open_image`, with the flag for the limit in place of the setting.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        return open_image(path, max_pixels)
    except ImageError as error:
        raise ImageError(error.where, error.problem, error.remedy.replace(LIMIT, "--max-pixels")) from None


def drawing(args: Namespace) -> GenerateOptions:
    """Options of generation of the flags of `ojito.cli.SAMPLING`.

    Raises:
        OjitoError: A flag that is not possible.
    """
    names = ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "stop")
    return make_options(None, {name: getattr(args, name) for name in names} | {"seed": args.seed or 0})
