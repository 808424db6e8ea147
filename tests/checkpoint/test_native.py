import json
import os

import pytest
import torch

from ojito.checkpoint import (
    CheckpointError,
    holds_model,
    native,
    read_config,
    read_weights,
    save_model,
    saving,
)
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
    with saving(folder) as staging:
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


def test_saving_again_replaces_nothing_but_the_weights(folder, monkeypatch):
    replaced = []
    replace = os.replace
    monkeypatch.setattr(native.os, "replace", lambda a, b: replaced.append(b.name) or replace(a, b))
    save(folder, state(1))
    assert replaced == ["model.safetensors"]


def test_a_save_that_fails_while_writing_leaves_the_folder_as_it_was(folder):
    before = files(folder)

    def half():
        with saving(folder) as staging:
            save_model(staging, "other", CONFIG, state(1))
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert files(folder) == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_save_that_is_cut_short_at_any_moment_never_leaves_a_mixture(tmp_path, monkeypatch, call):
    """Breaks the k-th call, for every k; the folder holds another model with another processor at first."""
    old, new = {"processor": "old"}, {"processor": "new"}
    other = ModelConfig(vision=ViTConfig(image_size=48, layers=1), decoder=CONFIG.decoder)
    for k in range(20):
        folder = tmp_path / f"{call}{k}"
        save(folder, state(0), **old)
        left = [k]
        real = getattr(os, call)

        def breaking(*args, left=left, real=real):
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(native.os, call, breaking)
            try:
                save(folder, state(1), other, **new)
            except CheckpointError as error:
                assert "No space left on device" in str(error)  # noqa: PT017
        assert ".saving" not in files(folder)
        if not (folder / "config.json").exists():
            with pytest.raises(CheckpointError, match=r"has no config\.json"):
                read_config(folder)
            continue
        is_new = read_config(folder)[1] == other
        assert equal(read_weights(folder, state()), state(int(is_new)))
        assert (folder / "processor.json").read_text() == ("new" if is_new else "old")
        if left[0] > 0:
            break
    assert k > 1
    assert is_new


def test_weights_of_the_same_model_are_always_there_however_a_save_is_cut_short(folder, monkeypatch):
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(native.os, call, lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
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
    with pytest.raises(KeyError), saving(tmp_path / "new"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with pytest.raises(KeyError), saving(tmp_path / "old"):
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
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds a list, not a mapping"),
        ("{}", "does not hold format, model, name"),
        ('{"format": 1, "name": "x"}', "does not hold"),
        ('{"format": 1, "name": 3, "model": {}}', "does not hold"),
        ('{"format": 9, "name": "x", "model": {}}', "is of format 9, and this Ojito reads 1; update"),
    ],
)
def test_damaged_config_is_an_error(folder, text, message):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_config(folder)


def test_setting_that_cannot_be_used_is_named_with_its_file(folder):
    values = json.loads((folder / "config.json").read_text())
    values["model"]["decoder"]["heads"] = 7
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"config\.json: model\.decoder\.width: 768 is not divisible by heads 7"):
        read_config(folder)
