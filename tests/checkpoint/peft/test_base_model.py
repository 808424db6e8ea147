import os
import shutil

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.peft.base_model import is_adapter, name_of

COMMIT = "0123456789" * 4


def refusal(folder, base=None):
    with pytest.raises(CheckpointError) as error:
        describe(folder, base=base)
    return str(error.value).replace(str(folder), "FOLDER")


def test_base_is_where_the_adapter_says(adapter, bases):
    assert describe(adapter()).adapter.base.path == bases / "own"


def test_base_may_be_relative_to_where_one_is_or_to_the_adapter(adapter, bases, tmp_path, monkeypatch):
    shutil.copytree(bases / "own", tmp_path / "models" / "own")
    folder = adapter(base_model_name_or_path="models/own")
    monkeypatch.chdir(tmp_path)
    assert describe(folder).adapter.base.path.resolve() == tmp_path / "models" / "own"
    shutil.copytree(bases / "own", folder / "inner")
    beside = adapter(folder="beside", base_model_name_or_path="../models/own")
    monkeypatch.chdir("/")
    assert describe(beside).adapter.base.path.resolve() == tmp_path / "models" / "own"


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_base_with_a_name_on_the_hub_is_found_among_what_was_fetched(adapter, bases, tmp_path, monkeypatch, revision):
    snapshot = tmp_path / "hub" / "models--owl--eyes" / "snapshots" / COMMIT
    shutil.copytree(bases / "own", snapshot)
    (tmp_path / "hub" / "models--owl--eyes" / "refs").mkdir()
    (tmp_path / "hub" / "models--owl--eyes" / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = adapter(base_model_name_or_path="owl/eyes", revision=revision)
    assert describe(folder).adapter.base.path == snapshot
    assert name_of(snapshot) == ("owl/eyes", COMMIT)


def test_base_that_was_not_fetched_is_not_fetched_but_asked_for(adapter, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    folder = adapter(base_model_name_or_path="owl/eyes")
    assert refusal(folder) == (
        "FOLDER: is an adapter for owl/eyes, which was not fetched yet; name its model: ojito.load('FOLDER', "
        "base=MODEL), or --base MODEL"
    )


@pytest.mark.parametrize("name", ["/no/such/folder", "x" * 5000, "a\0b", "~", ""])
def test_name_that_leads_nowhere_is_an_error(adapter, name):
    found = refusal(adapter(base_model_name_or_path=name))
    assert found.startswith("FOLDER: is an adapter ")
    assert "--base MODEL" in found


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_in_place_of_a_model_is_not_waited_for(adapter):
    folder = adapter(base_model_name_or_path="pipe")
    os.mkfifo(folder / "pipe")
    assert "is an adapter for pipe, which is not here" in refusal(folder)


def test_base_that_is_given_counts(adapter, bases):
    folder = adapter(base_model_name_or_path="/no/such/folder")
    assert describe(folder, base=bases / "own").adapter.base.path == bases / "own"


def test_base_is_refused_for_what_is_no_adapter(bases):
    problem = "FOLDER: is no adapter, and only an adapter has a base; leave the base out"
    assert refusal(bases / "own", base=bases / "llava") == problem


def test_base_that_is_an_adapter_is_refused(adapter):
    first = adapter()
    second = adapter(folder="second", base_model_name_or_path=str(first))
    assert "is an adapter itself; merge that one first: ojito convert" in refusal(second)
    itself = adapter(folder="third", base_model_name_or_path=".")
    assert is_adapter(itself)


def test_base_that_is_quantized_is_refused(adapter, bases, tmp_path):
    import ojito

    ojito.load(bases / "own", device="cpu", dtype="float32", quantize="int8").save(tmp_path / "int8")
    found = refusal(adapter(base_model_name_or_path=str(tmp_path / "int8")))
    assert "which is quantized to int8; name the model that that one was made from" in found


@pytest.mark.parametrize(
    ("names", "pickle"),
    [(["adapter_model.bin"], "adapter_model.bin"), (["non_lora_trainables.bin"], "non_lora_trainables.bin")],
)
def test_weights_in_a_pickle_are_refused(adapter, names, pickle):
    folder = adapter()
    if pickle == "adapter_model.bin":
        (folder / "adapter_model.safetensors").unlink()
    for name in names:
        (folder / name).write_bytes(b"x")
    assert f"as a pickle ({pickle}), which is a program" in refusal(folder)
