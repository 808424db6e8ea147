"""A ResNet of transformers: its config.json, the names of its tensors, and how its images are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ojito.checkpoint.description import OpenFolder, Part
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import image_side, read_image_settings
from ojito.checkpoint.keys import KeyMap, Section, Table
from ojito.config import ResNetConfig

MODEL_TYPE = "resnet"

_IMAGE: dict[str, Any] = {
    "fit": "crop",
    "resample": "bicubic",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
_SQUASHED = 384  # pixels; images of this side and more are squashed by its image processor, ConvNext's


def read_resnet(opened: OpenFolder, f: Fields) -> Part:
    """Describe the tower of a folder with a ResNet of transformers.

    Raises:
        CheckpointError: It has other blocks than Ojito's, or a field is damaged.
        ConfigError: Sizes that make no tower.
    """
    f.demand("layer_type", "bottleneck")
    f.demand("num_channels", 3)
    f.demand("hidden_act", "relu")
    f.demand("downsample_in_first_stage", False)
    f.demand("downsample_in_bottleneck", False)
    depths = _integers(f, "depths", [3, 4, 6, 3])
    widths = _integers(f, "hidden_sizes", [256, 512, 1024, 2048])
    if widths != [widths[-1] // 2 ** (len(depths) - 1 - stage) for stage in range(len(depths))]:
        raise f.error("hidden_sizes", widths, "Ojito has as many as depths, each twice the one before")
    config = ResNetConfig(
        image_size=image_side(opened.path, ResNetConfig.image_size),
        stem_width=f.integer("embedding_size", default=64),
        blocks=tuple(depths),
        width=widths[-1],
    )
    keys = KeyMap((Section("vision.", ("resnet.", ""), _table(config)),), (r"classifier\..*",))
    return Part(config, keys, image=_image_settings(opened.path, config), name=opened.name, folder=opened)


def _integers(f: Fields, name: str, default: list[int]) -> list[int]:
    value = f.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or not 0 < len(value) <= 16 or not all(type(n) is int and n > 0 for n in value):
        raise f.error(name, value, "a list of whole numbers is needed")
    return value


def _image_settings(folder: Path, config: ResNetConfig) -> dict[str, Any]:
    """Return the `image` settings. Enlarging images before they are cropped (crop_pct) is left out, as of timm's."""
    image = read_image_settings(folder, _IMAGE, config.image_size)
    return {**image, "fit": "squash"} if config.image_size >= _SQUASHED else image


def _table(config: ResNetConfig) -> Table:
    table = {"stem.conv": "embedder.embedder.convolution", "stem.norm": "embedder.embedder.normalization"}
    for stage, count in enumerate(config.blocks):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}", f"encoder.stages.{stage}.layers.{block}"
            layers = {"narrow": "layer.0", "look": "layer.1", "widen": "layer.2", "shortcut": "shortcut"}
            for name, layer in layers.items():
                table[f"{ours}.{name}.conv"] = f"{theirs}.{layer}.convolution"
                table[f"{ours}.{name}.norm"] = f"{theirs}.{layer}.normalization"
    return table
