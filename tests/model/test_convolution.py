import copy

import pytest
import torch
from torch import nn

from ojito.model import convolution
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


@pytest.mark.parametrize(("activation", "least", "most"), [("", -9, 9), ("relu", 0, 9), ("relu6", 0, 6)])
def test_activation_bounds_what_comes_out(activation, least, most):
    torch.manual_seed(0)
    layer = ConvNorm(2, 3, 1, activation=activation)
    nn.init.constant_(layer.norm.weight, 10)
    made = layer(torch.randn(4, 2, 8, 8)).clamp(-9, 9)
    assert (made.min(), made.max()) == (least, most)


@pytest.fixture
def tower():
    torch.manual_seed(0)
    tower = nn.Sequential(
        ConvNorm(3, 4, 3, stride=2, padding=(0, 1), activation="relu6"),
        ConvNorm(4, 4, 3, groups=4, activation="relu", norm_eps=1e-3),
        nn.Sequential(ConvNorm(4, 5, 1)),
    )
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 4)
            nn.init.normal_(module.bias)
    return tower.eval()


@pytest.mark.parametrize("onednn", [True, False])
def test_folded_norms_give_the_same_numbers(tower, onednn, monkeypatch):
    monkeypatch.setattr(convolution, "ONEDNN", onednn and convolution.ONEDNN)
    folded = copy.deepcopy(tower)
    fold_norms(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for shape in ((2, 3, 9, 9), (5, 3, 9, 9), (1, 3, 16, 12)):  # the weights are laid out for the first
        for layout in (torch.contiguous_format, torch.channels_last):
            images = torch.randn(shape).to(memory_format=layout)
            with torch.no_grad():
                torch.testing.assert_close(folded(images), tower(images), rtol=1e-5, atol=1e-5)


def test_folding_leaves_the_trained_tower_as_it_is(tower):
    before = copy.deepcopy(tower.state_dict())
    fold_norms(copy.deepcopy(tower))
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())


def test_folded_tower_computes_in_other_dtypes(tower):
    folded = copy.deepcopy(tower)
    fold_norms(folded)
    images = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(folded.double()(images.double()).float(), tower(images), rtol=1e-5, atol=1e-5)
