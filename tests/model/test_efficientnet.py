import torch

from ojito.config import EfficientNetConfig
from ojito.model.efficientnet import EfficientNet
from ojito.model.initialize import initialize

SMALL = {"stem_width": 4, "widths": (4, 6, 8, 8, 8, 12, 16), "blocks": (1, 1, 2, 1, 1, 1, 1)}


def test_patches_are_counted_by_the_grid():
    for size, grid in ((64, 2), (65, 3)):
        config = EfficientNetConfig(image_size=size, **SMALL)
        assert EfficientNet(config)(torch.randn(2, 3, size, size)).shape == (2, config.grid**2, 16) == (2, grid**2, 16)


def test_head_width_changes_output():
    config = EfficientNetConfig(image_size=64, head_width=24, **SMALL)
    patches = EfficientNet(config)(torch.randn(2, 3, 64, 64))
    assert patches.shape == (2, 4, config.width) == (2, 4, 24)
    assert patches.min() >= 0


def test_blocks_add_to_their_input_where_the_shapes_allow():
    stages = EfficientNet(EfficientNetConfig(image_size=64, **SMALL)).stages
    assert [[block.adds for block in stage] for stage in stages] == [
        [True], [False], [False, True], [False], [True], [False], [False],
    ]  # fmt: skip


def test_random_weights_carry_an_image_to_the_last_stage():
    torch.manual_seed(0)
    tower = EfficientNet(EfficientNetConfig(image_size=64, **SMALL))
    initialize(tower)
    with torch.no_grad():
        patches = tower(torch.randn(8, 3, 64, 64))
    assert patches.std(dim=0).mean() > 0.5  # images differ
    look = tower.stages[2][1].look.conv.weight
    assert abs(look.std().item() - (2 / 25) ** 0.5) < 0.1  # a channel of its own: 5 x 5 weights go to it
