"""What the commands that look at images share: the model, the images, and options of answers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from ojito.commands.console import progress, tell_random
from ojito.config import ImageConfig
from ojito.generate import GenerateOptions, make_options
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.processor import ImageError, TooManyPixels
from ojito.processor.images import OpenedImage, open_scaled


def load_model(args: Namespace, max_pixels: int | None = None) -> Pipeline:
    """Load the model of the command; say so when it has never learned anything.

    Args:
        args: Of the command.
        max_pixels: The most pixels of an image; None leaves it at what the model's processor says.
    """
    with progress(f"loading {args.model}") as tell:
        mmproj, base = getattr(args, "mmproj", None), getattr(args, "adapter_base", None)
        pipe = load(args.model, args.device, args.dtype, args.quantize, args.seed or 0, tell, mmproj, base)
    tell_random(args.model)
    return pipe if max_pixels is None else pipe.with_image(max_pixels=max_pixels)


def check_image(args: Namespace) -> OpenedImage | None:
    """Check the image, before the time that a model takes; None where the model's own limit of pixels decides.

    Returns:
        The image at any scale: its size is what counts.

    Raises:
        ImageError: It cannot be read, by whatever model.
    """
    try:
        with naming_the_flag():
            return open_scaled(args.image, args.max_pixels or ImageConfig.max_pixels, least_side=1)
    except TooManyPixels:
        if args.max_pixels is None:
            return None
        raise


@contextmanager
def naming_the_flag() -> Iterator[None]:
    """Have the error about too many pixels name the flag: these commands take no settings."""
    try:
        yield
    except TooManyPixels as error:
        raise name_the_flag(error) from None


def name_the_flag(error: ImageError) -> ImageError:
    """Return the error, about too many pixels with the flag in place of the setting."""
    if not isinstance(error, TooManyPixels):
        return error
    return TooManyPixels(error.where, error.problem, "scale it down or raise --max-pixels")


def generate_options(args: Namespace) -> GenerateOptions:
    """Options of generation of the flags of `ojito.commands.arguments.SAMPLING`.

    Raises:
        OjitoError: A flag that is not possible.
    """
    names = ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "stop", "beams", "length_penalty")
    return make_options(None, {name: getattr(args, name) for name in names} | {"seed": args.seed or 0})
