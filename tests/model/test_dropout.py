import pytest
import torch

from ojito.config import DecoderConfig, ViTConfig
from ojito.model.decoder import Decoder
from ojito.model.dropout import Dropout, dropout
from ojito.model.vit import ViT

SIZES = {"width": 16, "layers": 2, "heads": 2, "mlp_dim": 16, "dropout": 0.5}


@pytest.mark.parametrize("share", [0.1, 0.4, 0.999])
@pytest.mark.parametrize("shape", [(3,), (201, 7, 71)])
def test_share_is_dropped_and_the_mean_stays(shape, share):
    torch.manual_seed(0)
    made = dropout(torch.ones(shape), share)
    kept = made[made != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)))
    if made.numel() > 1000:
        assert (made == 0).float().mean().item() == pytest.approx(share, abs=0.005)
        # neighbours share a random number, and must not share their fate
        pairs = ((made == 0) & (made.roll(1, -1) == 0)).float().mean().item()
        assert pairs == pytest.approx(share**2, abs=0.01)


def test_what_is_dropped_gets_no_gradient():
    torch.manual_seed(0)
    values = torch.randn(1000, requires_grad=True)
    made = dropout(values, 0.3)
    made.sum().backward()
    torch.testing.assert_close(values.grad, (made != 0) / 0.7)


def test_seed_decides():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(100), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_stays(dtype):
    assert dropout(torch.ones(5, dtype=dtype), 0.5).dtype == dtype


def test_module_drops_in_training_only():
    module, values = Dropout(0.5), torch.ones(100)
    assert (module(values) == 0).any()
    assert torch.equal(module.eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda **options: ViT(ViTConfig(image_size=16, patch_size=8, **SIZES, **options)),
        lambda **options: Decoder(DecoderConfig(vocab_size=8, **SIZES, **options)),
    ],
    ids=["vision", "decoder"],
)
def test_attention_weights_may_be_left_out(make, attention):
    blocks = make(attention_dropout=attention).blocks
    assert [block.attention.dropout for block in blocks] == [0.5 * attention] * 2
    assert {block.dropout.share for block in blocks} == {0.5}
