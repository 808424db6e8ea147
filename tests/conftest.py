"""What all tests share: markers for what a machine may lack, and small pictures."""

import builtins
import os
from pathlib import Path

# Before torch is imported: threads on tiny tensors only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest

# The shapes in the model's signatures, checked at every call. Before the model is imported; and by their bare names,
# because the model itself does not import jaxtyping, which its users need not have.
for name in ("Bool", "Float", "Int"):
    setattr(builtins, name, getattr(jaxtyping, name))
jaxtyping.install_import_hook("ojito.model", "beartype.beartype")

DATA = "OJITO_DATA"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that OJITO_DATA names. Where it is set, the data have to be there."""
    if DATA not in os.environ:
        pytest.skip(f"{DATA} is not set: no real photographs to test with")
    folder = Path(os.environ[DATA])
    if not (folder / "flickr8k_128" / "captions.jsonl").is_file():
        pytest.fail(f"{DATA}={folder} holds no flickr8k_128/captions.jsonl; unset it, or mend the folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for a GPU are skipped where there is none."""
    waiting = [item for item in items if item.get_closest_marker("gpu")]
    if waiting:
        import torch

        if not torch.cuda.is_available():
            for item in waiting:
                item.add_marker(pytest.mark.skip(reason="needs CUDA"))
