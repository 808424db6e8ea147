"""Draw docs/diagrams: the architectures of some presets, as `ojito trace PRESET --svg FILE` draws any of them.

python docs/diagrams.py
"""

from __future__ import annotations

from pathlib import Path

import ojito
from ojito.probe.diagram import architecture_svg

# A plain model; a prefix-LM; local attention; a pixel shuffle; images in tiles.
DRAWN = ("vit-llama-96", "paligemma-3b-224", "paligemma2-3b", "nanovlm-222m", "nanovlm-460m-8k")

if __name__ == "__main__":
    folder = Path(__file__).parent / "diagrams"
    folder.mkdir(exist_ok=True)
    for name in DRAWN:
        (folder / f"{name}.svg").write_text(architecture_svg(ojito.preset(name)), encoding="utf-8")
