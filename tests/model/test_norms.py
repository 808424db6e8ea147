import pytest
import torch

from ojito.model.norms import RMSNorm, RMSNormPlusOne, make_norm


@pytest.mark.parametrize("kind", ["rms", "rms_plus_one"])
def test_norm_leaves_a_root_mean_square_of_one(kind):
    normed = make_norm(kind, 64, 1e-6)(torch.randn(5, 64) * 7)
    torch.testing.assert_close(normed.square().mean(-1), torch.ones(5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["layer", "rms", "rms_plus_one"])
def test_eps_changes_output(kind):
    hidden = torch.randn(2, 8)
    assert not torch.allclose(make_norm(kind, 8, 1e-6)(hidden), make_norm(kind, 8, 1.0)(hidden))


def test_rms_norm_casts_before_the_weight_and_gemmas_after():
    hidden = torch.randn(200, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    weight = torch.randn(64, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    precise = hidden.float() * torch.rsqrt(hidden.float().square().mean(-1, keepdim=True) + 1e-6)
    for norm, expected in (
        (RMSNorm(64, 1e-6), precise.to(torch.bfloat16) * weight),
        (RMSNormPlusOne(64, 1e-6), (precise * (1 + weight.float())).to(torch.bfloat16)),
    ):
        norm.to(torch.bfloat16).weight.data.copy_(weight)
        assert (norm(hidden) == expected).float().mean() > 0.999  # a last bit of float32 may round another way
