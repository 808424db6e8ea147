"""What comparisons with a public implementation need: random weights everywhere, and the same weights in ours."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ojito
from tests.parity import nanovlm


@pytest.fixture
def randomize() -> Callable[[nn.Module], None]:
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


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A family's reference, and ours from its folder. Arguments as for `reference.make`."""
    from tests.parity import reference

    def pair(family: str, **changes: Any) -> Any:
        theirs = reference.make(family, **changes)
        return theirs, theirs.ours(tmp_path_factory.mktemp(family))

    return pair


@pytest.fixture(scope="session")
def usual(pair: Callable[..., Any]) -> Callable[[str], Any]:
    """The same, without changes, made once."""
    return functools.cache(pair)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A family's reference, ours, and the folder that ours wrote; made once."""
    from tests.parity.exporting import export

    return functools.cache(lambda family: export(family, tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ojito.Pipeline]:
    """nanoVLM's released forms, loaded."""
    folder = tmp_path_factory.mktemp("released")
    return {name: ojito.load(nanovlm.released(folder / name, name), "cpu", "float32") for name in nanovlm.GOLDEN}
