"""Parts that no folder holds by themselves against transformers: ViT, ResNet, pixel shuffle, all weights random."""

import pytest
import torch

from ojito.config import ResNetConfig, ViTConfig
from ojito.model.connectors import PixelShuffle
from ojito.model.resnet import ResNet
from ojito.model.vit import ViT

transformers = pytest.importorskip("transformers")


def images(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_matches_reference_vit(randomize, load):
    reference = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, image_size=32,
            patch_size=8, layer_norm_eps=1e-6,
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip
    randomize(reference)
    state = reference.state_dict()
    for name in ("cls_token", "position_embeddings"):  # theirs have a leading 1, or two
        key = f"embeddings.{name}"
        state[key] = state[key].squeeze(0).squeeze(0) if name == "cls_token" else state[key].squeeze(0)
    ours = ViT(ViTConfig(image_size=32, patch_size=8, width=24, layers=2, heads=3, mlp_dim=40, class_token=True)).eval()
    load(
        ours,
        state,
        {
            r"^stem": "embeddings.patch_embeddings.projection",
            r"^positions.weight": "embeddings.position_embeddings",
            r"^class_token": "embeddings.cls_token",
            r"^norm": "layernorm",
            r"^blocks": "layers",
            r"attention_norm": "layernorm_before",
            r"mlp_norm": "layernorm_after",
            r"attention\.([qkv])\b": r"attention.\1_proj",
            r"attention\.out": "attention.o_proj",
            r"mlp\.up": "mlp.fc1",
            r"mlp\.down": "mlp.fc2",
        },
    )
    with torch.no_grad():
        theirs = reference(images(32)).last_hidden_state[:, 1:]
        torch.testing.assert_close(ours(images(32)), theirs, rtol=1e-5, atol=1e-5)


def test_matches_reference_resnet(randomize, load):
    reference = transformers.ResNetModel(
        transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[16, 32, 64], depths=[2, 1, 2], layer_type="bottleneck",
        )
    ).eval()  # fmt: skip
    randomize(reference)
    config = ResNetConfig(image_size=64, stem_width=8, blocks=(2, 1, 2), width=64)
    ours = ResNet(config).eval()
    load(
        ours,
        reference.state_dict(),
        {
            r"\bconv\b": "convolution",
            r"\bnorm\b": "normalization",
            r"^stem": "embedder.embedder",
            r"^stages\.(\d)": r"encoder.stages.\1.layers",
            r"narrow": "layer.0",
            r"look": "layer.1",
            r"widen": "layer.2",
        },
    )
    with torch.no_grad():
        theirs = reference(images(64)).last_hidden_state.flatten(2).transpose(1, 2)
        patches = ours(images(64))
    assert patches.shape == (2, config.grid**2, config.width)
    torch.testing.assert_close(patches, theirs, rtol=1e-5, atol=1e-5)


def test_matches_reference_pixel_shuffle():
    modeling = pytest.importorskip("transformers.models.idefics3.modeling_idefics3")
    patches = torch.randn(2, 36, 5)
    theirs = modeling.Idefics3Connector.pixel_shuffle(None, patches, 3)
    torch.testing.assert_close(PixelShuffle(grid=6, factor=3)(patches), theirs, rtol=0, atol=0)
