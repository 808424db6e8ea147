import torch

from ojito.model.rope import apply_rope, rope_cos_sin


def heads(seed):
    return torch.randn(1, 2, 1, 8, generator=torch.Generator().manual_seed(seed))


def turned(x, position, theta=10000.0):
    return apply_rope(x, rope_cos_sin(torch.tensor([[position]]), 8, theta))


def test_position_zero_changes_nothing():
    torch.testing.assert_close(turned(heads(0), 0), heads(0))


def test_product_depends_on_the_distance_only():
    q, k = heads(0), heads(1)
    near, far = (turned(q, p + 3) * turned(k, p) for p in (0, 50))
    torch.testing.assert_close(near.sum(-1), far.sum(-1), rtol=1e-4, atol=1e-4)
    assert not torch.allclose((turned(q, 4) * turned(k, 0)).sum(-1), near.sum(-1), atol=1e-3)


def test_theta_changes_output():
    assert not torch.allclose(turned(heads(0), 5), turned(heads(0), 5, theta=100.0))


def test_halves_are_paired():
    cos, sin = rope_cos_sin(torch.tensor([[1]]), 4, 10000.0)
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
    c, s = cos.flatten(), sin.flatten()
    expected = [1 * c[0] - 3 * s[0], 2 * c[1] - 4 * s[1], 3 * c[2] + 1 * s[2], 4 * c[3] + 2 * s[3]]
    torch.testing.assert_close(apply_rope(x, (cos, sin)).flatten(), torch.stack(expected))


def test_angles_are_float32_at_far_positions():
    cos, _ = rope_cos_sin(torch.tensor([[1024]]), 256, 10000.0)
    assert cos.dtype == torch.float32
    exponents = torch.arange(0, 256, 2, dtype=torch.float64) / 256
    exact = (1024 * 10000.0**-exponents).cos()
    assert (cos.flatten()[:128].double() - exact).abs().max() < 1e-3
