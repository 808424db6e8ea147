import torch

from ojito.config import ResNetConfig
from ojito.model.resnet import ResNet


def test_patches_are_counted_by_the_grid():
    config = ResNetConfig(image_size=64, stem_width=4, blocks=(1, 2, 1), width=32)
    assert ResNet(config)(torch.randn(2, 3, 64, 64)).shape == (2, config.grid**2, 32) == (2, 16, 32)


def test_every_stage_after_the_first_halves_the_image_on_its_3x3_convolution():
    stages = ResNet(ResNetConfig(image_size=64, stem_width=4, blocks=(2, 2), width=16)).stages
    assert [[block.look.conv.stride[0] for block in stage] for stage in stages] == [[1, 1], [2, 1]]
    assert [[block.narrow.conv.stride[0] for block in stage] for stage in stages] == [[1, 1], [1, 1]]


def test_every_stage_doubles_the_width():
    stages = ResNet(ResNetConfig(image_size=64, stem_width=4, blocks=(1, 1, 1), width=32)).stages
    assert [stage[-1].widen.conv.out_channels for stage in stages] == [8, 16, 32]
