"""EfficientNet-Lite against the public PyTorch port, and the weights that the package index has."""

import re

import pytest
import torch

from ojito.checkpoint.packaged import PACKAGED, read_packaged
from ojito.config import EfficientNetConfig
from ojito.model.efficientnet import EfficientNet

reference = pytest.importorskip("efficientnet_lite_pytorch")

_DEEP = (1, 3, 3, 4, 4, 5, 1)
CONFIGS = {
    "efficientnet-lite0": EfficientNetConfig(),
    "efficientnet-lite1": EfficientNetConfig(blocks=_DEEP),
    "efficientnet-lite2": EfficientNetConfig(widths=(16, 24, 48, 88, 120, 208, 352), blocks=_DEEP),
    "efficientnet-lite3": EfficientNetConfig(widths=(24, 32, 48, 96, 136, 232, 384), blocks=(1, 3, 3, 5, 5, 6, 1)),
    "efficientnet-lite4": EfficientNetConfig(widths=(24, 32, 56, 112, 160, 272, 448), blocks=(1, 4, 4, 6, 6, 8, 1)),
}
SIZES = {"efficientnet-lite0": 64, "efficientnet-lite1": 65, "efficientnet-lite2": 96, "efficientnet-lite3": 70}


def theirs(name: str, size: int) -> torch.nn.Module:
    blocks, settings = reference.utils.get_model_params(name, None)
    return reference.EfficientNet(blocks, settings._replace(image_size=size)).eval()


def ours(name: str, size: int, state: dict[str, torch.Tensor]) -> EfficientNet:
    config = CONFIGS[name]
    model = EfficientNet(
        EfficientNetConfig(image_size=size, widths=config.widths, blocks=config.blocks, head_width=1280)
    )
    of_block = [f"stages.{stage}.{block}." for stage, blocks in enumerate(config.blocks) for block in range(blocks)]
    renamed = {}
    for key, tensor in state.items():
        block = re.match(r"_blocks\.(\d+)\.", key)
        if block:
            names = {"_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "look.conv",
                     "_bn1": "look.norm", "_project_conv": "project.conv", "_bn2": "project.norm"}  # fmt: skip
            beginning, rest = of_block[int(block[1])], key[block.end() :]
        else:
            names = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
            beginning, rest = "", key
        module, _, tensor_name = rest.partition(".")
        if module != "_fc":
            renamed[f"{beginning}{names[module]}.{tensor_name}"] = tensor
    model.load_state_dict(renamed)
    return model.eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_matches_reference_efficientnet(name):
    torch.manual_seed(0)
    size = SIZES.get(name, 64)
    model = theirs(name, size)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias, std=0.1)
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected = model.extract_features(images).flatten(2).transpose(1, 2)
        torch.testing.assert_close(ours(name, size, model.state_dict())(images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PACKAGED)
def test_published_weights_give_the_references_patches(name):
    if PACKAGED[name].find() is None:
        pytest.skip(f"{PACKAGED[name].package} is not installed")
    state = torch.load(PACKAGED[name].find(), weights_only=True)
    model = theirs(name, 64)
    model.load_state_dict(state)
    found = PACKAGED[name].config
    last = EfficientNet(EfficientNetConfig(image_size=64, widths=found.widths, blocks=found.blocks)).eval()
    last.load_state_dict(read_packaged(name), strict=False)
    assert set(last.state_dict()) <= set(read_packaged(name))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = last(images).transpose(1, 2).unflatten(2, (2, 2))
        theirs_from_ours = torch.relu(model._bn1(model._conv_head(features))).clamp(max=6)
        torch.testing.assert_close(theirs_from_ours, model.extract_features(images), rtol=1e-5, atol=1e-5)
