"""The masks of boxes, as pixels: from the codes that a model wrote, through the mask decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from ojito.locate.boxes import Box, fit_mask
from ojito.locate.mask_decoder import MaskDecoder
from ojito.locate.mask_weights import read_mask_weights
from ojito.model.meta import shapes_only


def read_mask_decoder(weights: Path | str) -> MaskDecoder:
    """The decoder of `vae-oid.npz`, which draws masks from their codes.

    Raises:
        CheckpointError: The weights are missing, damaged or of something else.
    """
    with shapes_only():
        decoder = MaskDecoder()
    decoder.load_state_dict(read_mask_weights(weights, decoder.state_dict()), assign=True)
    return decoder


def add_masks(boxes: Sequence[Box], decoder: MaskDecoder, width: int, height: int) -> list[Box]:
    """The boxes, and those with codes have their mask as pixels of the image.

    Args:
        boxes: Boxes within the image.
        decoder: The one of `read_mask_decoder`.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.
    """
    codes = [box.codes for box in boxes if box.codes]
    if not codes:
        return list(boxes)
    with torch.inference_mode():
        squares = iter(decoder(torch.tensor(codes)).numpy())  # (n, 64, 64)
    return [
        dataclasses.replace(box, mask=fit_mask(next(squares), box, width, height)) if box.codes else box
        for box in boxes
    ]
