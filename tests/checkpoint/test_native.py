import itertools
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from ojito.checkpoint import saving as saving_module
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.native import read_config, save_model
from ojito.checkpoint.saving import holds_model, staged_save
from ojito.checkpoint.tensors.reading import read_weights
from ojito.config import DecoderConfig, ModelConfig, ViTConfig
from ojito.settings import ConfigError

CONFIG = ModelConfig(vision=ViTConfig(image_size=32, layers=1), decoder=DecoderConfig(layers=1, vocab_size=10))


def state(seed=0, **changes):
    torch.manual_seed(seed)
    made = {"a": torch.randn(3, 4), "b.weight": torch.randn(5), "b.count": torch.tensor(7)}
    return {**made, **changes}


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "run", state())
    return tmp_path / "run"


def save(folder, tensors, config=CONFIG, **texts):
    with staged_save(folder) as staging:
        save_model(staging, "toy", config, tensors)
        for name, text in texts.items():
            (staging / f"{name}.json").write_text(text)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# --------------------------------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_model_roundtrips_bit_by_bit(tmp_path, dtype):
    tensors = state(a=torch.randn(3, 4).to(dtype))
    save(tmp_path / "new" / "run", tensors)
    assert read_config(tmp_path / "new" / "run") == ("toy", CONFIG)
    assert equal(read_weights(tmp_path / "new" / "run", tensors), tensors)
    assert set(files(tmp_path / "new" / "run")) == {"config.json", "model.safetensors"}


def test_saving_again_replaces_the_weights_and_keeps_other_files(folder):
    (folder / "metrics.jsonl").write_text("{}\n")
    save(folder, state(1))
    assert equal(read_weights(folder, state()), state(1))
    assert set(files(folder)) == {"config.json", "model.safetensors", "metrics.jsonl"}


def test_files_that_belong_to_no_model_stay(tmp_path):
    for name in ("recipe.yaml", "vocab.json", "merges.txt"):
        (tmp_path / name).write_text("mine")
    save(tmp_path, state())
    assert {(tmp_path / name).read_text() for name in ("recipe.yaml", "vocab.json", "merges.txt")} == {"mine"}


def test_saving_again_replaces_nothing_but_the_weights(folder, monkeypatch):
    replaced = []
    replace = os.replace
    monkeypatch.setattr(saving_module.os, "replace", lambda a, b: replaced.append(b.name) or replace(a, b))
    save(folder, state(1))
    assert replaced == ["model.safetensors"]


def test_a_save_that_fails_while_writing_leaves_the_folder_as_it_was(folder):
    before = files(folder)

    def half():
        with staged_save(folder) as staging:
            save_model(staging, "other", CONFIG, state(1))
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert files(folder) == before


OTHER = ModelConfig(vision=ViTConfig(image_size=48, layers=1), decoder=CONFIG.decoder)


STEPS = {"fsync": os, "replace": os, "rename": Path, "unlink": Path}
"""The calls that a save is made of, and where they are."""


def breaks_at(monkeypatch, call, k, times=None):
    """The k-th of these calls fails, and as many after it; None means all."""
    real, count = getattr(STEPS[call], call), itertools.count()

    def breaking(*args, **kwargs):
        number = next(count)
        if number >= k and (times is None or number < k + times):
            raise OSError(5, "Input/output error")
        return real(*args, **kwargs)

    monkeypatch.setattr(STEPS[call], call, breaking)
    return count


def cut_short(monkeypatch, folder, call, k, times=None, **texts):
    """Saves another model over the folder's, and breaks the k-th call.

    Returns:
        Whether there was a k-th call.
    """
    with monkeypatch.context() as patch:
        count = breaks_at(patch, call, k, times)
        try:
            save(folder, state(1), OTHER, **texts)
        except CheckpointError as error:
            assert "Input/output error" in str(error)  # noqa: PT017
        return next(count) > k


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("texts", [{}, {"tokenizer": "new"}, {"processor": "new", "vocab": "new"}])
def test_a_save_that_fails_at_any_moment_leaves_the_folder_as_it_was(tmp_path, monkeypatch, call, texts):
    for k in range(40):
        folder = tmp_path / str(k)
        save(folder, state(0), processor="old", recipe="old")
        (folder / "metrics.jsonl").write_text("{}")
        before = files(folder)
        if not cut_short(monkeypatch, folder, call, k, times=1, **texts):
            break
        assert files(folder) == before
    assert k > 0
    assert read_config(folder)[1] == OTHER


def test_a_save_that_fails_leaves_a_folder_without_a_model_as_it_was(tmp_path, monkeypatch):
    for k in range(9):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "notes.txt").write_text("mine")
        if not cut_short(monkeypatch, tmp_path / str(k), "replace", k, times=1):
            break
        assert files(tmp_path / str(k)) == {"notes.txt": b"mine"}
    assert k == 2


@pytest.mark.parametrize("call", STEPS)
def test_a_disk_that_fails_from_any_moment_on_never_leaves_a_mixture(tmp_path, monkeypatch, call):
    for k in range(20):
        folder = tmp_path / str(k)
        save(folder, state(0), processor="old")
        there = cut_short(monkeypatch, folder, call, k, processor="new")
        assert_whole(folder)
        if not there:
            break
    assert k > 0
    assert read_config(folder)[1] == OTHER


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("link", [True, False])
def test_a_save_that_is_killed_at_any_moment_can_be_mended(tmp_path, monkeypatch, call, link):
    cut = 0
    for k in range(20):
        folder = tmp_path / str(k)
        save(folder, state(0), processor="old", vocab="old")
        with monkeypatch.context() as patch:
            patch.setattr(saving_module, "_put_back", lambda *_: None)
            patch.setattr(saving_module.shutil, "rmtree", lambda *_, **__: None)
            if not link:  # as on the file system of a memory stick
                patch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(95, "Not supported")))
            there = cut_short(patch, folder, call, k, processor="new")
        cut += assert_whole(folder)
        save(folder, state(2), CONFIG, processor="newest")
        assert set(files(folder)) == {"config.json", "model.safetensors", "processor.json"}
        assert equal(read_weights(folder, state()), state(2))
        if not there:
            break
    assert cut > 0 or call == "rename"
    assert holds_model(folder)


def assert_whole(folder):
    """A folder holds the old model or the new one; or it says how to get the old one back.

    Returns:
        Whether it has to be mended.
    """
    if (folder / "config.json").exists():
        texts = {True: "new", False: "old"}[read_config(folder)[1] == OTHER]
        assert (folder / "processor.json").read_text() == texts
        assert equal(read_weights(folder, state()), state(int(texts == "new")))
        return False
    assert holds_model(folder)
    with pytest.raises(CheckpointError, match="a save into it was cut short: save again, or take") as error:
        read_config(folder)
    saved = Path(re.search(r"\(mv (.*) NEW\)", str(error.value))[1])
    copy = shutil.copytree(saved, folder.parent / f"{folder.name}-mended")
    assert read_config(copy)[1] == CONFIG
    assert (copy / "processor.json").read_text() == "old"
    assert equal(read_weights(copy, state()), state(0))
    return True


def test_a_save_after_one_that_was_killed_can_fail_and_the_model_before_both_is_there(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    save(folder, state(0), processor="old", recipe="old")
    before = files(folder)
    with monkeypatch.context() as patch:
        patch.setattr(saving_module, "_put_back", lambda *_: None)
        assert cut_short(patch, folder, "replace", 1, vocab="new")
    assert (folder / ".before").is_dir()
    assert cut_short(monkeypatch, folder, "replace", 1, times=1, added_tokens="newer")
    assert files(folder) == before


def test_a_file_that_is_to_be_kept_stays_as_it_is(folder):
    for text in ("first", "second"):
        with staged_save(folder, keep=("README.md",)) as staging:
            save_model(staging, "toy", CONFIG, state(1))
            (staging / "README.md").write_text(text)
        assert (folder / "README.md").read_text() == "first"
    with staged_save(folder) as staging:
        save_model(staging, "toy", CONFIG, state(1))
        (staging / "README.md").write_text("third")
    assert (folder / "README.md").read_text() == "third"


def test_weights_of_the_same_model_are_always_there_however_a_save_is_cut_short(folder, monkeypatch):
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(saving_module.os, call, lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
            with pytest.raises(CheckpointError, match="I/O error"):
                save(folder, state(1))
        assert equal(read_weights(folder, state()), state(0))


def test_remains_of_a_killed_save_are_removed(folder):
    (folder / ".saving").mkdir()
    (folder / ".saving" / "model.safetensors").write_bytes(b"half")
    save(folder, state(1))
    assert equal(read_weights(folder, state()), state(1))
    assert ".saving" not in os.listdir(folder)


def test_files_of_a_model_that_was_there_are_removed(folder):
    left = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "processor.json",
            "recipe.yaml", "chat_template.jinja", "preprocessor_config.json", "tokenizer_config.json"]  # fmt: skip
    kept = ["README.md", "metrics.jsonl", "optimizer.safetensors"]
    for name in left + kept:
        (folder / name).write_text("{}")
    save(folder, state(1))
    assert set(files(folder)) == {"config.json", "model.safetensors", *kept}
    assert equal(read_weights(folder, state()), state(1))


def test_model_in_a_folder_is_seen_in_any_form(tmp_path):
    for name in ("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
        assert holds_model(tmp_path / name)
        assert not holds_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert not holds_model(tmp_path)
    assert not holds_model(tmp_path / "missing")


def test_folder_that_was_made_for_a_save_that_failed_is_removed(tmp_path):
    with pytest.raises(KeyError), staged_save(tmp_path / "new"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with pytest.raises(KeyError), staged_save(tmp_path / "old"):
        raise KeyError
    assert files(tmp_path / "old") == {}


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "file" / "run", state())


# -------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is nested too deep"),
        ("[]", "holds a list, not a mapping"),
        (
            "{}",
            "has no format, as Ojito's has, no model_type, as transformers' has, and no architecture, as timm's has",
        ),
        ('{"architecture": "vit_base", "pretrained_cfg": {}}', "architecture is 'vit_base'; use a ResNet of plain"),
        ('{"model_cfg": {}, "preprocess_cfg": {}}', "has no format"),  # open_clip's
        ('{"format": 1}', "does not hold format, model, name"),
        ('{"format": 1, "name": "x"}', "does not hold"),
        ('{"format": 1, "name": 3, "model": {}}', "does not hold"),
        ('{"format": 9, "name": "x", "model": {}}', "is of format 9, and this Ojito reads 1; update"),
    ],
)
def test_damaged_config_is_an_error(folder, text, message):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        describe(folder)


def test_setting_that_cannot_be_used_is_named_with_its_file(folder):
    values = json.loads((folder / "config.json").read_text())
    values["model"]["decoder"]["heads"] = 7
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"config\.json: model\.decoder\.heads: 7 is not divisible by kv_heads 12"):
        read_config(folder)
