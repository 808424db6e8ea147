"""What every comparison with a public implementation needs: random weights everywhere, and the same weights in ours."""

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def randomise() -> Callable[[nn.Module], None]:
    """Overwrites ALL parameters and running statistics: default zeros and ones would hide a missing bias or norm."""

    def draw(module: nn.Module) -> None:
        torch.manual_seed(0)
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape) * 0.2)
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.5)

    return draw


@pytest.fixture
def load() -> Callable[..., None]:
    """Fills our module from the reference's tensors; a tensor that is left over on either side is an error."""

    def fill(ours: nn.Module, theirs: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
        left = dict(theirs)
        state = {}
        for name in ours.state_dict():
            source = name
            for pattern, replacement in names.items():
                source = re.sub(pattern, replacement, source)
            assert source in left, f"{name} should be {source}, not among {sorted(left)}"
            state[name] = left.pop(source)
        assert not left
        ours.load_state_dict(state)

    return fill
