"""`photos16`: the sixteen photographs that scikit-image's wheel brings along, with captions written for Ojito."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ojito.data.files import DataError
from ojito.records import Sample, Turn

CAPTIONS = {
    "astronaut.png": "a smiling astronaut in an orange suit before a flag and a model of the space shuttle",
    "brick.png": "a grey wall of long narrow bricks that stand upright",
    "camera.png": "a man in a dark coat looks through a camera on a tripod",
    "cell.png": "one bright round cell with a dark edge under a microscope",
    "chelsea.png": "the face of a ginger tabby cat with green eyes",
    "coffee.png": "a red cup of espresso on a red saucer with a spoon",
    "coins.png": "twenty four old coins in four rows on a dark cloth",
    "grass.png": "blades of dry and fresh grass seen from above",
    "gravel.png": "a ground covered with small sharp stones",
    "hubble_deep_field.jpg": "countless galaxies in a black sky",
    "ihc.png": "tissue stained brown and blue under a microscope",
    "moon.png": "the surface of the moon with craters and low hills",
    "motorcycle_left.png": "a red motorcycle in a garage before shelves full of boxes",
    "page.png": "a printed page about the segmentation of coins",
    "retina.jpg": "the inside of an eye with fine blood vessels on orange ground",
    "rocket.jpg": "a white rocket between four towers at dusk",
}


def photos16() -> list[Sample]:
    """Return sixteen real photographs, one caption each. Nothing is downloaded.

    Raises:
        DataError: scikit-image is not installed, or not in a version that has these photographs.
    """
    remedy = "install them with: pip install 'ojito[photos]'"
    package = importlib.util.find_spec("skimage")  # finds it without the second that importing takes
    if package is None or package.origin is None:
        raise DataError("photos16", "are photographs of scikit-image, which is not installed", remedy)
    folder = Path(package.origin).parent / "data"
    missing = [name for name in CAPTIONS if not (folder / name).is_file()]
    if missing:
        raise DataError("photos16", f"{', '.join(missing)} are not in this version of scikit-image", remedy)
    return [
        Sample([folder / name], turns=(Turn("", (caption,), "caption"),), split="train", origin=f"photos16:{name}")
        for name, caption in CAPTIONS.items()
    ]
