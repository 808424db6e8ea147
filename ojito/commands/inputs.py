"""What the commands that look at images share: the model, the images, and how answers are drawn."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ojito.commands.console import progress, tell_random
from ojito.config import ImageConfig
from ojito.generate import Greedy, Sampler, Temperature, TopK, TopP
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.processor import TooManyPixels
from ojito.processor.images import OpenedImage, open_scaled


def load_model(args: Namespace, max_pixels: int | None = None) -> Pipeline:
    """Load the model of the command; say so when it has never learned anything.

    Args:
        args: Of the command.
        max_pixels: The most pixels of an image; None leaves it at what the model's processor says.
    """
    with progress(f"loading {args.model}") as tell:
        pipe = load(args.model, device=args.device, seed=args.seed or 0, progress=tell)
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
        raise TooManyPixels(error.where, error.problem, "scale it down or raise --max-pixels") from None


def drawing(args: Namespace) -> dict[str, Any]:
    """The flags of `ojito.commands.table.SAMPLING`, as `Pipeline.generate` and `stream` take them."""
    return {
        "max_new_tokens": args.max_new_tokens,
        "sampler": sampler(args.temperature, args.top_k, args.top_p),
        "repetition_penalty": args.repetition_penalty,
        "stop": args.stop,
        "seed": args.seed or 0,
    }


def sampler(temperature: float | None, top_k: int | None, top_p: float | None) -> Sampler:
    """The sampler that these flags describe; without any, the likeliest token it is."""
    drawn = 1.0 if temperature is None else temperature
    if top_p is not None:
        return TopP(top_p, drawn, top_k or 0)
    if top_k is not None:
        return TopK(top_k, drawn)
    return Greedy() if temperature is None else Temperature(temperature)
