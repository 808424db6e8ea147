"""A ResNet as timm and torchvision keep it: timm with a config.json that names it, torchvision as weights alone.

The names of their tensors are the same: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ojito.checkpoint.description import OpenFolder, Part, PartKind
from ojito.checkpoint.files import CONFIG, WEIGHTS, CheckpointError
from ojito.checkpoint.huggingface.fields import Fields, config_of
from ojito.checkpoint.keys import KeyMap, Section, Table
from ojito.checkpoint.tensors.header import Entry
from ojito.config import ResNetConfig

BLOCKS = {
    "resnet26": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
"""Blocks of each stage, by timm's name of the architecture."""

IMAGENET: dict[str, Any] = {
    "fit": "crop",
    "resample": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""Torchvision's `image` settings. That evaluation on ImageNet enlarges images first, and so reads their middle only
(crop_pct), is left out: a model that answers questions has to see the border, too."""

_RESAMPLE = {name: name for name in ("nearest", "bilinear", "bicubic", "lanczos")}
_USE = "use a ResNet of plain bottleneck blocks: " + ", ".join(BLOCKS)
_FIRST, _BLOCK = "conv1.weight", "layer{}.{}.{}"


def recognizes(values: Mapping[str, Any]) -> bool:
    """Whether a config.json with these fields is timm's."""
    return "architecture" in values and not {"format", "model_type"} & values.keys()


def read(opened: OpenFolder) -> NoReturn:
    """Refuse to read a whole model: it is a part.

    Raises:
        CheckpointError: Always.
    """
    with config_of(opened) as f:
        name = f.text("architecture")
        raise f.error(
            "architecture", name, "it is a part: join it with another by ojito.build" if name in BLOCKS else _USE
        )


def read_part(opened: OpenFolder, kind: PartKind) -> Part:
    """Describe the tower of a folder of timm's.

    Raises:
        CheckpointError: It is of another architecture, a field is damaged, or a decoder is needed.
        ConfigError: Sizes that make no tower.
    """
    with config_of(opened) as f:
        name = f.text("architecture")
        if kind == "decoder":
            raise f.error("architecture", name, "it is a vision tower, and a decoder is needed")
        if name not in BLOCKS:
            raise f.error("architecture", name, _USE)
        if f.get("model_args"):
            raise f.error("model_args", f.get("model_args"), f"Ojito has only {name} without changes")
        # Older files have the fields of this group among the others.
        g = f.group("pretrained_cfg") if f.get("pretrained_cfg") is not None else f
        image = {
            **IMAGENET,
            "resample": g.choice("interpolation", among=_RESAMPLE, default="bicubic"),
            "mean": g.numbers("mean", default=IMAGENET["mean"]),
            "std": g.numbers("std", default=IMAGENET["std"]),
        }
        config = ResNetConfig(image_size=_side(g), blocks=BLOCKS[name])
    return _part(opened, config, image)


def _side(g: Fields) -> int:
    size = g.numbers("input_size", default=[3, ResNetConfig.image_size, ResNetConfig.image_size])
    channels, height, width = map(int, size)
    if channels != 3 or height != width:
        raise g.error("input_size", size, "squares of 3 channels are needed")
    return width


def read_weights_alone(opened: OpenFolder) -> Part | None:
    """Describe the tower of a folder that has torchvision's weights and no config.json; None for any other folder.

    Raises:
        CheckpointError: It is a ResNet of other blocks, or the file is damaged.
    """
    if (opened.path / CONFIG).exists() or not (opened.path / WEIGHTS).is_file():
        return None
    header = opened.header
    if _FIRST not in header or _BLOCK.format(1, 0, "conv1.weight") not in header:
        return None
    blocks: list[int] = []
    while _BLOCK.format(len(blocks) + 1, 0, "conv1.weight") in header:
        count, stage = 1, len(blocks) + 1
        while _BLOCK.format(stage, count, "conv1.weight") in header:
            count += 1
        blocks.append(count)
    width, narrow = _check_blocks(opened, header, len(blocks))
    stem = header[_FIRST].shape[0]
    if width != 4 * narrow:
        problem = f"is of blocks that are {narrow} wide within, of {width}"
        raise CheckpointError(opened.path / WEIGHTS, problem, _USE)
    return _part(opened, ResNetConfig(stem_width=stem, blocks=tuple(blocks), width=width), IMAGENET)


def _check_blocks(opened: OpenFolder, header: Mapping[str, Entry], stages: int) -> tuple[int, int]:
    """Return the width of the last stage, and that within its blocks.

    Raises:
        CheckpointError: They are no plain bottlenecks, or have no width.
    """
    entries = [header.get(_BLOCK.format(stages, 0, f"conv{i}.weight")) for i in (1, 2, 3)]
    if entries[2] is None:
        raise CheckpointError(opened.path / WEIGHTS, "is a ResNet of basic blocks, as resnet18 and resnet34 are", _USE)
    shapes = [entry.shape if entry else () for entry in (*entries, header[_FIRST])]
    if not all(len(shape) == 4 for shape in shapes):
        raise CheckpointError(opened.path / WEIGHTS, "has convolutions without their four axes", "copy it again")
    if shapes[1][0] != shapes[1][1]:
        raise CheckpointError(opened.path / WEIGHTS, "is a ResNet of grouped convolutions, as ResNeXts are", _USE)
    return shapes[2][0], shapes[0][0]


def _part(opened: OpenFolder, config: ResNetConfig, image: Mapping[str, Any]) -> Part:
    keys = KeyMap((Section("vision.", ("",), _table(config)),), (r"fc\.(weight|bias)",))
    return Part(config, keys, image={**image}, name=opened.name, folder=opened)


def _table(config: ResNetConfig) -> Table:
    table = {"stem.conv": "conv1", "stem.norm": "bn1"}
    for stage, count in enumerate(config.blocks):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
            for i, name in enumerate(("narrow", "look", "widen"), 1):
                table |= {f"{ours}.{name}.conv": f"{theirs}.conv{i}", f"{ours}.{name}.norm": f"{theirs}.bn{i}"}
            table |= {f"{ours}.shortcut.conv": f"{theirs}.downsample.0"}
            table |= {f"{ours}.shortcut.norm": f"{theirs}.downsample.1"}
    return table
