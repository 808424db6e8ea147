import dataclasses

import pytest
import torch

from ojito.config import ModelConfig, PerceiverConfig
from ojito.model import VLM
from ojito.model.meta import shapes_only

WIDE = {"width": 256, "heads": 4, "mlp_dim": 512, "layers": 8}


@pytest.fixture
def fresh(style):
    torch.manual_seed(0)
    vision = dataclasses.replace(ModelConfig().vision, image_size=32, width=256, heads=4, mlp_dim=512, layers=8)
    connector = PerceiverConfig(queries=4, heads=4)
    return VLM(ModelConfig(vision, connector, dataclasses.replace(style, **WIDE, head_dim=64)))


def test_model_on_meta_has_nothing_to_draw():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with shapes_only():
        model = VLM(ModelConfig())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(tensor.is_meta for tensor in model.state_dict().values())


def test_residual_branches_end_small(fresh):
    for blocks in (fresh.vision.blocks, fresh.connector.reduce.blocks, fresh.decoder.blocks):
        for block in blocks:
            for inner, last in ((block.attention.q, block.attention.out), (block.mlp.up, block.mlp.down)):
                ratio = last.weight.std() * last.in_features**0.5 / (inner.weight.std() * inner.in_features**0.5)
                assert ratio.item() == pytest.approx((2 * len(blocks)) ** -0.5, rel=0.05)


def test_biases_are_zero_and_norms_do_nothing(fresh):
    plus_one = fresh.config.decoder.norm == "rms_plus_one"
    for name, parameter in fresh.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            neutral = 0 if plus_one and name.startswith("decoder") else 1
            assert parameter.unique().item() == neutral, name


def test_scaled_embeddings_enter_with_variance_one(fresh):
    deviation = fresh.decoder.embed(torch.arange(40)[None]).std()
    expected = 1.0 if fresh.config.decoder.scale_embeddings else (3 * 256) ** -0.5
    assert deviation.item() == pytest.approx(expected, rel=0.05)


def test_same_seed_draws_the_same_model(fresh, style):
    again = VLM(fresh.config)
    torch.manual_seed(0)
    same = VLM(fresh.config)
    weight = fresh.decoder.blocks[0].attention.q.weight
    assert torch.equal(weight, same.decoder.blocks[0].attention.q.weight)
    assert not torch.equal(weight, again.decoder.blocks[0].attention.q.weight)


def test_residual_network_starts_as_its_shortcuts(build):
    model = VLM(build("llama", "resnet").config)
    assert not any(stage[-1].widen.norm.weight.any() for stage in model.vision.stages)


def test_first_logits_favour_no_token_but_the_one_that_is_read(fresh, row):
    batch = row(fresh)
    fresh.eval()
    with torch.no_grad():
        logits = fresh(batch)[0, -1]
    others = logits[torch.arange(40) != batch.tokens[0, -1]]  # a tied head knows its own embedding again
    assert others.abs().max() < 4
