import dataclasses

import pytest
import torch
from torch import nn

from ojito.config import ViTConfig
from ojito.model.vit import ViT

CONFIG = ViTConfig(image_size=32, patch_size=8, width=12, layers=2, heads=2, mlp_dim=16)
CONV = dataclasses.replace(CONFIG, stem="conv", stem_widths=(4, 6, 8, 10))


def patches(config, images=None):
    torch.manual_seed(0)
    vit = ViT(config).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
        return vit(torch.randn(2, 3, 32, 32) if images is None else images)


@pytest.mark.parametrize("config", [CONFIG, CONV, dataclasses.replace(CONFIG, class_token=True)])
def test_patches_are_counted_by_the_grid(config):
    assert patches(config).shape == (2, 16, 12)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 1},
        {"layers": 0},
        {"heads": 3},
        {"mlp_dim": 20},
        {"activation": "gelu_tanh"},
        {"norm_eps": 0.5},
        {"class_token": True},
        {"final_norm": False},
        {"stem": "conv", "stem_widths": (4, 4, 4)},
    ],
    ids=str,
)
def test_switch_changes_output(change):
    # GELU's two forms differ by less than 1e-3.
    assert not torch.allclose(patches(CONFIG), patches(dataclasses.replace(CONFIG, **change)), atol=1e-5)


def test_norm_before_the_blocks_has_the_eps_of_the_settings():
    config = dataclasses.replace(CONFIG, pre_norm=True, final_norm=False, layers=0, norm_eps=1e-3)
    patches(config)
    vit, images = ViT(config).eval(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.01
    with torch.no_grad():
        vit.positions.weight.zero_()
        hidden = vit.stem(images).flatten(2).transpose(1, 2)
        spread = hidden.var(-1, correction=0, keepdim=True)
        expected = (hidden - hidden.mean(-1, keepdim=True)) / (spread + 1e-3).sqrt()
        assert (spread < 1e-2).all()  # or eps would not show
        torch.testing.assert_close(vit(images), expected)


def test_patches_are_in_reading_order():
    blank = torch.zeros(1, 3, 32, 32)
    marked = blank.clone()
    marked[:, :, 8:16, 16:24] = 1.0  # row 1, column 2 of four
    config = dataclasses.replace(CONFIG, layers=0)
    different = (patches(config, blank) != patches(config, marked)).any(-1)[0]
    assert different.nonzero().tolist() == [[1 * 4 + 2]]


def test_conv_stem_halves_the_image_with_its_first_convolutions():
    convolutions = [m for m in ViT(CONV).stem if isinstance(m, nn.Conv2d)]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]
    assert [c.kernel_size[0] for c in convolutions] == [3, 3, 3, 3, 1]
    assert [c.out_channels for c in convolutions] == [4, 6, 8, 10, 12]


def test_dropout_drops_in_training_only():
    torch.manual_seed(0)
    vit, images = ViT(dataclasses.replace(CONFIG, dropout=0.5)), torch.randn(1, 3, 32, 32)
    assert not torch.allclose(vit(images), vit(images))
    vit.eval()
    torch.testing.assert_close(vit(images), vit(images))
