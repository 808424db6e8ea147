"""One way to ask all methods: a map of a word over the image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ojito.config import ModelConfig, PerceiverConfig
from ojito.errors import OjitoError, nearest
from ojito.model import VLM
from ojito.probe.attention import attention_map, rollout_map
from ojito.probe.forced import ForcedAnswer, Word
from ojito.probe.maps import HeatMap, lay, lay_squares, token_grid
from ojito.probe.methods import METHODS
from ojito.probe.occlusion import occlusion_map
from ojito.probe.relevance import gradient_map, relevance_map
from ojito.processor import Processor


def check_method(method: str, layer: int | None = None, head: int | None = None) -> None:
    """Check that there is such a method, and that it has layers and heads if one is asked for.

    Raises:
        OjitoError: There is none, or it has none.
    """
    if method not in METHODS:
        raise OjitoError("method", f"{method!r} is none", nearest(method, METHODS))
    for name, number in (("layer", layer), ("head", head)):
        if number is not None and method != "attention":
            raise OjitoError(name, f"is for the method attention, not {method}", "leave it out")


def usual_method(config: ModelConfig) -> str:
    """The method to look at a model with, where none is named: relevance, if its visual tokens have a place.

    Raises:
        OjitoError: The model reads text alone.
    """
    if isinstance(config.connector, PerceiverConfig):
        return "occlusion"
    token_grid(config)  # refuses a model of text alone
    return "relevance"


def look(
    model: VLM,
    processor: Processor,
    image: Image.Image,
    forced: ForcedAnswer,
    word: Word,
    method: str = "relevance",
    layer: int | None = None,
    head: int | None = None,
    cells: int = 6,
    size: tuple[int, int] | None = None,
) -> HeatMap:
    """Return where in the image a word of an answer comes from, by one of `METHODS`.

    Args:
        model: The model.
        processor: Of the model.
        image: The upright image, as `Processor.open_image` opens it.
        forced: The answer about it.
        word: One of its words.
        method: attention, rollout, relevance, gradient (times input, of each pixel), occlusion.
        layer: With attention, one layer, counted from 0; None means the mean of all.
        head: With attention, one head, counted from 0; None means the mean of all.
        cells: With occlusion, cells along each side of the image.
        size: Width and height of the map, pixels; None means those of the image.

    Raises:
        OjitoError: As for `check_method`; no such layer or head; visual tokens that have no place in the image.
    """
    check_method(method, layer, head)
    width, height = size = size or image.size
    if method == "occlusion":
        heat = occlusion_map(model, processor, image, forced, word, cells)
        return HeatMap(heat.values, width, height, (0.0, 0.0, float(width), float(height)))
    batch, (read,) = forced.batch(processor), forced.row.images
    grid = (read.rows, read.columns)
    if method == "gradient":
        squares = gradient_map(model, batch, forced, word).numpy().astype(np.float64)
        return lay_squares(squares, grid, size, processor.config)
    token_grid(model.config)  # refuses before it computes
    if method == "attention":
        values = attention_map(model, batch, forced, word, layer, head)
    else:
        values = (rollout_map if method == "rollout" else relevance_map)(model, batch, forced, word)
    return lay(values.numpy().astype(np.float64), grid, size, model.config, processor.config)
