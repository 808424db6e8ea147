"""Memory and time of reading large images: `python -m benchmarks.large_images [MEGAPIXELS]` (50 by default).

Each kind is written to a temporary folder and read by a process of its own, whose peak memory is compared with that of
a process that reads a tiny image. `full` decodes every pixel (`open_image`), `448` is what a tower of that size reads.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ojito.config import ImageConfig
from ojito.processor.images import open_image
from ojito.processor.tiles import read_image

NO_LIMIT = 10**10
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {  # mode, format, options
    "JPEG": ("RGB", "JPEG", {}),
    "JPEG, progressive": ("RGB", "JPEG", {"progressive": True}),
    "JPEG, CMYK": ("CMYK", "JPEG", {}),
    "JPEG, turned": ("RGB", "JPEG", {"exif": {0x0112: 6}}),
    "PNG": ("RGB", "PNG", {"compress_level": 1}),
    "PNG, turned": ("RGB", "PNG", {"compress_level": 1, "exif": {0x0112: 6}}),
    "PNG, transparent": ("RGBA", "PNG", {"compress_level": 1}),
    "PNG, 16 bits": ("I;16", "PNG", {"compress_level": 1}),
    "WEBP": ("RGB", "WEBP", {"quality": 50, "method": 0}),
    "WEBP, transparent": ("RGBA", "WEBP", {"quality": 50, "method": 0}),
}
UNIT = 1024 if sys.platform == "linux" else 1  # bytes of ru_maxrss


def write(path: Path, kind: str, pixels: int) -> None:
    """Write a smooth image of so many pixels, 4 to 3."""
    mode, file_format, options = KINDS[kind]
    width, height = round((pixels * 4 / 3) ** 0.5), round((pixels * 3 / 4) ** 0.5)
    small = np.random.default_rng(0).integers(0, 256, (60, 80, len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(np.tile(np.arange(width, dtype=np.uint16), (height, 1)))
    else:
        image = Image.frombytes(mode, (80, 60), small.tobytes()).resize((width, height), Image.Resampling.BILINEAR)
    exif = Image.Exif()
    exif.update(options.get("exif", {}))
    image.save(path, file_format, **{**options, "exif": exif})


def measure(path: Path, how: str) -> None:
    """Print the peak memory, in bytes, and the seconds that reading the image took; for a process of its own."""
    start = time.perf_counter()
    if how == "full":
        open_image(path, NO_LIMIT)
    else:
        read_image(path, int(how), ImageConfig(max_pixels=NO_LIMIT))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT, time.perf_counter() - start)


def measured(path: Path, how: str) -> tuple[float, float]:
    """Peak memory and time of another process."""
    memory, seconds = apart("measure", str(path), how).split()
    return float(memory), float(seconds)


def apart(*words: str) -> str:
    """Output of a step in a process of its own: a child inherits its parent's peak, so the parent must stay small."""
    command = [sys.executable, "-m", "benchmarks.large_images", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(pixels: int) -> None:
    """Print a line for each kind."""
    with tempfile.TemporaryDirectory() as folder:
        tiny, path = Path(folder) / "tiny.png", Path(folder) / "image"
        Image.new("RGB", (8, 8)).save(tiny)
        base = measured(tiny, "448")[0]
        print(f"{pixels / 1e6:.0f} megapixels; above the {base / 1e6:.0f} MB of a process that reads a tiny image")
        for kind in KINDS:
            apart("write", str(path), kind, str(pixels))
            for how in ("full", "448"):
                memory, seconds = measured(path, how)
                extra = memory - base
                print(f"{kind:20} {how:>5} {extra / 1e6:6.0f} MB {extra / pixels:5.1f} bytes a pixel {seconds:5.1f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(Path(sys.argv[2]), sys.argv[3])
    elif sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(int(float((sys.argv[1:] or ["50"])[0]) * 1e6))
