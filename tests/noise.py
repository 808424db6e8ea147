"""Images of noise, the same at every run; `Image.effect_noise` follows random numbers that all code shares."""

import numpy as np
from PIL import Image


def noise(size, seed=0, spread=90, mode="RGB"):
    """An image of grey noise around middle grey.

    Args:
        size: Width and height, pixels.
        seed: Another one is another image.
        spread: Standard deviation of the pixels, of 255.
        mode: Of PIL.
    """
    grey = np.random.default_rng(seed).normal(128, spread, (size[1], size[0])).clip(0, 255)
    return Image.fromarray(grey.astype(np.uint8)).convert(mode)
