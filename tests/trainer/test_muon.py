import pytest
import torch
from torch import nn

from ojito.trainer.muon import COEFFICIENTS, STEPS, Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 16, 48), (2, 48, 16), (1, 20, 20)])
def test_orthogonalize_brings_singular_values_close_to_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.shape == (shape[0], min(shape[1:]))
    assert float(values.min()) > 0.3  # a square random matrix has one that is nearly 0
    assert float(values.max()) < 1.3


def test_orthogonalize_treats_matrices_apart():
    torch.manual_seed(0)
    matrices = torch.randn(3, 8, 12) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    alone = torch.cat([orthogonalize(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalize(matrices), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 90), (90, 16), (20, 20)])
def test_orthogonalize_is_newton_schulz_written_out(shape):
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = left @ torch.diag(torch.logspace(0, -5, min(shape))) @ right  # strong and very weak directions
    x, (a, b, c) = matrix.double() / matrix.norm(), COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    torch.testing.assert_close(orthogonalize(matrix[None])[0].double(), x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_matches_reference_torch_muon(shape):
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    optimizers = [
        Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.2),
        torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.2),
    ]
    for _ in range(3):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    # PyTorch's iterates in bfloat16, which has 8 bits; one that forgets momentum, decay or the factor is far off.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)


def test_muon_takes_a_convolution_as_a_matrix_of_channels_out():
    torch.manual_seed(0)
    kernel, matrix = nn.Parameter(torch.zeros(8, 4, 3, 3)), nn.Parameter(torch.zeros(8, 36))
    kernel.grad = torch.randn(8, 4, 3, 3)
    matrix.grad = kernel.grad.flatten(1)
    for weight in (kernel, matrix):
        Muon([weight]).step()
    assert torch.equal(kernel.flatten(1), matrix)


def test_muon_keeps_the_dtype_of_the_weights():
    weight = nn.Parameter(torch.ones(4, 6, dtype=torch.bfloat16))
    weight.grad = torch.randn(4, 6).bfloat16()
    Muon([weight]).step()
    assert weight.dtype == torch.bfloat16
    assert not torch.equal(weight, torch.ones_like(weight))


def test_muon_leaves_parameters_without_gradient_alone():
    weight = nn.Parameter(torch.ones(4, 4))
    Muon([weight], weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(4, 4))


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"momentum": 0.5}, {"weight_decay": 0.5}])
def test_muon_arguments_change_the_update(change):
    weights = []
    for arguments in ({}, change):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.ones(4, 6))
        optimizer = Muon([weight], **arguments)
        for _ in range(2):
            weight.grad = torch.randn(4, 6)
            optimizer.step()
        weights.append(weight.detach())
    assert not torch.equal(*weights)
