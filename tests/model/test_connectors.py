import pytest
import torch

from ojito.config import DecoderConfig, ModelConfig, ViTConfig
from ojito.model.connectors import AveragePool, Connector, Perceiver, PixelShuffle
from ojito.settings import read

VISION = ViTConfig(image_size=32, patch_size=8, width=8, layers=1, heads=2, mlp_dim=8)
DECODER = DecoderConfig(vocab_size=10, width=12, layers=1, heads=2, mlp_dim=8)


def config_of(settings):
    return read(ModelConfig, {"vision": VISION, "connector": settings, "decoder": DECODER})


def connector(**settings):
    torch.manual_seed(0)
    return Connector(config_of(settings))


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, 16),
        ({"project": "mlp", "mlp_dim": 20}, 16),
        ({"reduce": "pixel_shuffle", "factor": 2}, 4),
        ({"reduce": "average_pool", "factor": 4}, 1),
        ({"reduce": "perceiver", "queries": 5, "layers": 1, "heads": 2}, 5),
    ],
    ids=str,
)
def test_connector_gives_the_configs_number_of_tokens(settings, tokens):
    module = connector(**settings)
    assert module(torch.randn(3, 16, 8)).shape == (3, tokens, 12)
    assert config_of(settings).image_tokens == tokens


def test_pixel_shuffle_lays_a_blocks_patches_side_by_side():
    patches = torch.arange(16.0).reshape(1, 16, 1)  # a grid of 4 x 4, numbered in reading order
    assert PixelShuffle(grid=4, factor=2)(patches)[0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_average_pool_averages_a_block():
    patches = torch.arange(16.0).reshape(1, 16, 1)
    assert AveragePool(grid=4, factor=2)(patches).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_perceiver_reads_a_set_of_patches():
    torch.manual_seed(0)
    module, patches = Perceiver(8, queries=3, layers=2, heads=2), torch.randn(2, 16, 8)
    torch.testing.assert_close(module(patches), module(patches.flip(1)))
    assert not torch.allclose(module(patches)[0], module(patches)[1], atol=1e-3)


@pytest.mark.parametrize("settings", [{"layers": 1}, {"heads": 4}, {"queries": 4}], ids=str)
def test_perceiver_setting_changes_output(settings):
    base = {"reduce": "perceiver", "queries": 3, "layers": 2, "heads": 2}
    patches = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    before, after = connector(**base)(patches), connector(**base | settings)(patches)
    assert before.shape != after.shape or not torch.allclose(before, after, atol=1e-4)


def test_mlp_has_the_decoders_width_unless_told():
    assert connector(project="mlp").project[0].out_features == 12
    assert connector(project="mlp", mlp_dim=20).project[0].out_features == 20


def test_bias_is_by_config():
    assert connector(bias=False).project.bias is None
    assert connector(bias=True).project.bias is not None
    assert connector(project="mlp", bias=False).project[2].bias is None
