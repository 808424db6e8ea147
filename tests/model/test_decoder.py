import dataclasses

import pytest
import torch

from ojito.config import DecoderConfig, RopeScaling
from ojito.model.decoder import Decoder
from ojito.model.masks import AttentionMetadata, bidirectional_blocks

CONFIG = DecoderConfig(vocab_size=30, width=16, layers=2, heads=4, mlp_dim=24, max_positions=32)
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
PLACES = AttentionMetadata(torch.arange(8)[None], torch.zeros_like(TOKENS), torch.full_like(TOKENS, -1))


def logits(config):
    """Of a decoder whose tensors are random, each the same for the same shape whatever else the config says."""
    decoder = Decoder(config).eval()
    places = torch.arange(8)[None]
    blocks = bidirectional_blocks(config.mask, places < 5, places < 3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.5)
        return decoder.head(decoder(decoder.embed(TOKENS), AttentionMetadata(places, torch.zeros_like(TOKENS), blocks)))


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 1},
        {"heads": 2, "kv_heads": 2, "head_dim": 8, "query_scalar": 8.0},
        {"kv_heads": 1},
        {"head_dim": 8},
        {"mlp_dim": 32},
        {"mlp": "plain"},
        {"activation": "gelu"},
        {"activation": "relu2"},
        {"norm": "layer"},
        {"norm": "rms_plus_one"},
        {"norm_eps": 0.5},
        {"positions": "learned"},
        {"rope_theta": 100.0},
        {"rope_scaling": RopeScaling("linear", factor=4.0)},
        {"rope_scaling": RopeScaling("llama3", factor=4.0, original_positions=8)},
        {"bias": True},
        {"query_bias": True},
        {"query_key_norm": True},
        {"post_norms": True},
        {"scale_embeddings": True},
        {"query_scalar": 9.0},
        {"attention_softcap": 0.5},
        {"final_softcap": 2.0},
        {"window": 2},
        {"mask": "prefix"},
        {"mask": "image"},
    ],
    ids=str,
)
def test_switch_changes_output(change):
    before, after = logits(CONFIG), logits(dataclasses.replace(CONFIG, **change))
    assert not torch.allclose(before, after[..., :30], atol=1e-3)


def test_untied_head_is_a_matrix_of_its_own():
    decoder = Decoder(dataclasses.replace(CONFIG, tied_head=False))
    hidden = torch.randn(1, 2, 16)
    torch.testing.assert_close(decoder.head(hidden), hidden @ decoder.untied_head.weight.T)


def test_final_softcap_bounds_the_logits():
    assert logits(dataclasses.replace(CONFIG, final_softcap=0.25)).abs().max() <= 0.25


def test_window_slides_in_even_layers_only():
    decoder = Decoder(dataclasses.replace(CONFIG, window=2, layers=3))
    assert decoder.windows == [2, 0, 2]


@pytest.mark.parametrize("where", ["embeddings", "attention", "branches"])
def test_dropout_drops_in_training_only(where):
    decoder = Decoder(dataclasses.replace(CONFIG, dropout=0.5))
    if where != "embeddings":
        decoder.dropout.share = 0.0
    for block in decoder.blocks:
        if where != "attention":
            block.attention.dropout = 0.0
        if where != "branches":
            block.dropout.share = 0.0
    torch.manual_seed(0)
    hidden = torch.randn(1, 8, 16)
    assert not torch.allclose(decoder(hidden, PLACES), decoder(hidden, PLACES))
    decoder.eval()
    torch.testing.assert_close(decoder(hidden, PLACES), decoder(hidden, PLACES))


def test_scaled_embeddings_round_the_factor_to_the_models_dtype():
    decoder = Decoder(dataclasses.replace(CONFIG, width=2048, heads=8, scale_embeddings=True)).to(torch.bfloat16)
    torch.nn.init.ones_(decoder.embedding.weight)
    assert decoder.embed(TOKENS).unique().item() == 45.25  # sqrt(2048) = 45.2548
