"""Folders with random weights."""

import shutil

import pytest
import torch

import ojito
from ojito.bench.random_model import write_random_model
from ojito.checkpoint import saving
from ojito.checkpoint.files import CheckpointError
from ojito.presets import preset

SMALL = ["model.vision.layers=1", "model.vision.width=32", "model.vision.mlp_dim=64", "model.vision.heads=2",
         "model.decoder.layers=1", "model.decoder.width=32", "model.decoder.mlp_dim=64", "model.decoder.heads=2",
         "model.decoder.vocab_size=1500"]  # fmt: skip


def written(folder, name="paligemma-3b-224", dtype=torch.float32, seed=0):
    folder.mkdir()
    settings = [*SMALL, "model.decoder.head_dim=16", "model.decoder.kv_heads=1"]
    settings = {"paligemma-3b-224": settings, "nanovlm-222m": [*SMALL, "model.decoder.kv_heads=1"]}.get(name, [])
    write_random_model(folder, preset(name, settings), dtype, seed)
    return ojito.load(folder, device="cpu", dtype=str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("name", ["paligemma-3b-224", "nanovlm-222m", "tiny", "char"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folder_loads_and_answers(tmp_path, name, dtype):
    pipe = written(tmp_path / "model", name, dtype)
    assert pipe.model.dtype == dtype
    assert pipe.model.decoder.blocks[0].mlp.down.weight.std() > 0
    size = pipe.model.config.vision.image_size
    with torch.inference_mode():
        visual = pipe.model.encode(torch.randn(1, 3, size, size))
    assert visual.isfinite().all()


def test_file_is_the_dtypes_own_size(tmp_path):
    sizes = []
    for dtype in (torch.float32, torch.bfloat16):
        written(tmp_path / str(dtype), "char", dtype)
        sizes.append((tmp_path / str(dtype) / "model.safetensors").stat().st_size)
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.01)


def test_norms_begin_as_training_begins_them(tmp_path):
    gemma = written(tmp_path / "gemma").model
    assert gemma.decoder.norm.weight.abs().max() == 0  # 1 is added to it
    assert gemma.vision.norm.weight.min() == 1
    assert gemma.vision.norm.bias.abs().max() == 0


def test_seed_decides_on_the_numbers(tmp_path):
    weights = [written(tmp_path / str(n), "char", seed=n // 2).model.decoder.embedding.weight for n in range(3)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_model_that_the_disk_has_no_room_for_is_refused_before_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**20, 2**20, 2**10))
    with pytest.raises(CheckpointError, match=r"is to hold a model of .* MiB of the disk are free"):
        write_random_model(tmp_path, preset("char"), torch.float32)
    assert not (tmp_path / "model.safetensors").exists()
