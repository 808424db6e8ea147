import json
import os
import struct

import pytest
import torch

from ojito.checkpoint import (
    CheckpointError,
    find_file,
    native,
    read_config,
    read_header,
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


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(tmp_path / "file" / "run", state())


# -------------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_in_the_dtype_asked_for_and_counts_stay_whole(folder, dtype):
    weights = read_weights(folder, state(), dtype)
    assert weights["a"].dtype == weights["b.weight"].dtype == dtype
    assert weights["b.count"].dtype == torch.int64


def test_weights_go_to_the_device_asked_for(folder):
    assert read_weights(folder, state(), device="meta")["a"].is_meta


def test_weights_that_change_in_memory_do_not_change_the_file(folder):
    before = files(folder)
    read_weights(folder, state())["a"].zero_()
    assert files(folder) == before


def test_keys_that_differ_are_all_listed(folder):
    expected = state(a=torch.zeros(4, 3), c=torch.zeros(1))
    del expected["b.weight"]
    expected["b.count"] = torch.tensor(1.0)
    message = (
        r"1 missing \(c\); 1 unexpected \(b\.weight\); "
        r"2 differing \(a is \[3, 4\], not \[4, 3\], b\.count is of dtype I64\)"
    )
    with pytest.raises(CheckpointError, match=message):
        read_weights(folder, expected)


def test_long_lists_of_keys_are_counted(folder):
    with pytest.raises(CheckpointError, match=r"9 missing \(k0, k1, k2, k3, k4, and 4 more\)"):
        read_weights(folder, {**state(), **{f"k{i}": torch.zeros(1) for i in range(9)}})


def test_nothing_is_read_before_names_and_shapes_fit(folder, monkeypatch):
    monkeypatch.setattr(native, "safe_open", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(CheckpointError):
        read_weights(folder, {})


def test_file_truncated_anywhere_is_an_error(folder):
    whole = (folder / "model.safetensors").read_bytes()
    for length in range(len(whole)):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"truncated|damaged"):
            read_weights(folder, state())


def test_byte_changed_anywhere_in_the_header_is_an_error_or_changes_no_shape(folder):
    whole = (folder / "model.safetensors").read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        changed = bytearray(whole)
        changed[place] ^= 0x21
        (folder / "model.safetensors").write_bytes(changed)
        try:
            weights = read_weights(folder, state())
        except CheckpointError:
            continue
        assert {key: tensor.shape for key, tensor in weights.items()} == {k: t.shape for k, t in state().items()}


def header(folder, values, data=b""):
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(shape=(1,), start=0, end=4, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b"[" * 100_000, "damaged header"),
        (b"\xff\xfe", "damaged header"),
        (b"[]", "damaged header"),
        (b'"a"', "damaged header"),
        ({"a": None}, "damaged header"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "damaged header"),
        ({"a": entry(shape=[-1])}, "damaged header"),
        ({"a": entry(shape=[1.5])}, "damaged header"),
        ({"a": entry(shape=[True])}, "damaged header"),
        ({"a": {**entry(), "dtype": 3}}, "damaged header"),
        ({"a": {**entry(), "data_offsets": []}}, "damaged header"),
        ({"a": entry(end=10**30)}, "truncated or damaged"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": {}}', "damaged header"),
        ({f"t{i}": entry() for i in range(20_001)}, "20001 tensors, more than 20000"),
    ],
)
def test_hostile_header_is_an_error(folder, values, message):
    header(folder, values, b"\0" * 4)
    with pytest.raises(CheckpointError, match=message):
        read_header(folder)


def test_header_that_claims_to_be_huge_is_refused_without_reading_it(folder):
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 9 * 2**20))
        file.truncate(20 * 2**20)
    with pytest.raises(CheckpointError, match="header of 9437184 bytes, more than 8388608"):
        read_header(folder)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(CheckpointError, match="truncated"):
        read_header(folder)


def test_tensors_that_overlap_are_an_error(folder):
    header(folder, {"a": entry((2,), 0, 8), "b": entry((2,), 4, 12)}, b"\0" * 12)
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(folder, {"a": torch.zeros(2), "b": torch.zeros(2)})


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    (tmp_path / name).write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(CheckpointError, match="link to a place outside"):
        (read_config if name == "config.json" else read_header)(folder)


def test_link_within_the_folder_is_followed(folder):
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    assert read_config(folder)[0] == "toy"


def test_pipe_instead_of_a_file_is_refused_instead_of_waited_for(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        read_config(folder)


def test_file_that_is_too_large_is_refused(folder):
    with pytest.raises(CheckpointError, match="more than 10"):
        find_file(folder, "config.json", limit=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "does not hold format, model, name"),
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
