"""Files that Ojito writes, as the package `gguf` and Ojito read them."""

import gguf
import pytest
import torch

from ojito.gguf.container import GgufFile
from ojito.gguf.quantization import read_tensor
from ojito.gguf.writer import write_gguf

METADATA = {
    "general.architecture": "llama", "a.number": 7, "a.float": 0.5, "a.flag": True, "a.text": "é",
    "a.texts": ["one", "", "▁"], "a.numbers": [1, -2], "a.floats": [0.5, 1.5],
}  # fmt: skip


def drawn():
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 5), "b": (7,), "c": (2, 3, 2, 2)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_roundtrips_tensors_and_values(tmp_path, dtype):
    tensors = drawn()
    write_gguf(tmp_path / "a.gguf", METADATA, [(name, tensor, dtype) for name, tensor in tensors.items()])
    file, reader = GgufFile(tmp_path / "a.gguf"), gguf.GGUFReader(tmp_path / "a.gguf")
    assert {key: value for key, value in file.metadata.items() if key != "a.texts"} == {
        key: value for key, value in METADATA.items() if key != "a.texts"
    }
    assert file.array("a.texts") == METADATA["a.texts"]
    assert {key: reader.get_field(key).contents() for key in METADATA} == METADATA
    for name, tensor in tensors.items():
        assert torch.equal(read_tensor(file, name), tensor.to(dtype))
    assert [tensor.name for tensor in reader.tensors] == [*tensors]


def test_tensors_that_are_views_are_written_as_they_look(tmp_path):
    matrix = torch.arange(12.0).view(3, 4)
    write_gguf(tmp_path / "a.gguf", METADATA, [("t", matrix.T, torch.float32), ("row", matrix[1], torch.float32)])
    file = GgufFile(tmp_path / "a.gguf")
    assert torch.equal(read_tensor(file, "t"), matrix.T)
    assert torch.equal(read_tensor(file, "row"), matrix[1])


def test_progress_hears_of_each_tensor(tmp_path):
    heard = []
    write_gguf(tmp_path / "a.gguf", METADATA, [(n, t, torch.float16) for n, t in drawn().items()], heard.append)
    assert heard == [30, 14, 48]
