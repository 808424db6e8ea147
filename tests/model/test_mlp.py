import pytest
import torch

from ojito.model.mlp import ACTIVATIONS, GatedMLP, PlainMLP


def test_relu2_is_relu_squared():
    assert ACTIVATIONS["relu2"](torch.tensor([-2.0, 0.0, 3.0])).tolist() == [0.0, 0.0, 9.0]


def test_gated_mlp_multiplies_by_the_activated_gate():
    mlp, hidden = GatedMLP(4, 6, "silu", bias=False), torch.randn(2, 4)
    gate = hidden @ mlp.gate.weight.T
    expected = (gate * gate.sigmoid() * (hidden @ mlp.up.weight.T)) @ mlp.down.weight.T
    torch.testing.assert_close(mlp(hidden), expected)


@pytest.mark.parametrize("kind", [PlainMLP, GatedMLP])
def test_bias_is_by_argument(kind):
    assert all("bias" not in name for name in kind(4, 6, "gelu", bias=False).state_dict())
    assert "down.bias" in kind(4, 6, "gelu", bias=True).state_dict()


@pytest.mark.parametrize("kind", [PlainMLP, GatedMLP])
def test_activation_changes_output(kind):
    outputs = []
    for activation in ACTIVATIONS:
        torch.manual_seed(0)
        outputs.append(kind(8, 16, activation, bias=True)(torch.ones(1, 8)))
    for i, one in enumerate(outputs):
        assert not any(torch.equal(one, other) for other in outputs[:i])
