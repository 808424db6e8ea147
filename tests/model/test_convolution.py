import copy

import pytest
import torch
from torch import nn

from ojito.model.convolution import ConvNorm, fold_norms, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(4, 3, 1, (1, 1)), (4, 3, 2, (0, 1)), (5, 3, 2, (1, 1)), (6, 5, 2, (1, 2)), (7, 1, 1, (0, 0)), (1, 3, 2, (1, 1))],
)
def test_same_padding_puts_the_odd_pixel_after(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("padding", [None, (0, 1), (1, 2)])
def test_padding_changes_what_a_window_sees(padding):
    torch.manual_seed(0)
    layer = ConvNorm(2, 3, 3, stride=2, padding=padding).eval()
    before, after = padding or (1, 1)
    images = torch.randn(1, 2, 8, 8)
    padded = nn.functional.pad(images, (before, after, before, after))
    torch.testing.assert_close(layer(images), layer.norm(nn.functional.conv2d(padded, layer.conv.weight, stride=2)))


def test_folded_norms_give_the_same_numbers():
    torch.manual_seed(0)
    tower = nn.Sequential(ConvNorm(3, 4, 3, padding=(0, 1)), ConvNorm(4, 4, 3, groups=4, norm_eps=1e-3)).eval()
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    folded = copy.deepcopy(tower)
    fold_norms(folded)
    images = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), tower(images), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
