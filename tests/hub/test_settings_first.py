"""A model that is of no use is refused when its settings have come, before any byte of its weights."""

import json

import pytest
from PIL import Image

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.hub.download import download
from ojito.loading import find_folder
from ojito.settings import ConfigError
from tests.hub.owl import FIRST, MODEL, NAME, SHARDS, contents
from tests.public_parts import save_decoder, save_tower

LISTING = f"/api/models/{NAME}/revision/main"
OF_WEIGHTS = (".safetensors", ".bin")


def weights_asked_for(hub):
    return [path for path in hub.paths if path.endswith(OF_WEIGHTS)]


def as_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ----------------------------------------------------------------------------------------------------------- the check


@pytest.mark.parametrize("files", [MODEL, SHARDS], ids=["one file", "shards"])
def test_check_sees_everything_but_the_weights(hub, files):
    hub.commits[NAME][FIRST] = {**files, "processor_config.json": b"{}"}
    seen = []

    def check(folder):
        seen.append({path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".safetensors"})
        assert not list(folder.glob("*.safetensors"))
        assert not weights_asked_for(hub)

    folder = download(NAME, check=check)
    expected = {name: content for name, content in hub.commits[NAME][FIRST].items() if not name.endswith(OF_WEIGHTS)}
    assert seen == [expected]
    assert contents(folder) == hub.commits[NAME][FIRST]


@pytest.mark.parametrize("files", [MODEL, SHARDS], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", [CheckpointError, lambda text: ConfigError(text, "is no number"), RuntimeError])
def test_model_that_the_check_refuses_costs_no_weights(hub, cache, files, kind):
    hub.commits[NAME][FIRST] = files

    def refuse(folder):
        raise kind(f"{folder}/config.json: of no use")

    with pytest.raises(Exception, match=r"config\.json: of no use") as caught:
        download(NAME, check=refuse)
    assert not weights_asked_for(hub)
    assert not (cache / "models--owl--eyes-3b" / "refs").exists()
    if not isinstance(caught.value, RuntimeError):
        assert str(caught.value).startswith("owl/eyes-3b/config.json: of no use")
        assert type(caught.value) is type(kind(""))


def test_model_that_was_refused_is_fetched_by_one_who_can_use_it(hub):
    def refuse(folder):
        raise CheckpointError("of no use")

    with pytest.raises(CheckpointError):
        download(NAME, check=refuse)
    hub.asked.clear()
    assert contents(download(NAME, check=lambda folder: None)) == MODEL
    assert hub.paths == [LISTING, "model.safetensors"]


def test_progress_hears_of_the_settings_before_the_check(hub):
    seen = []

    def refuse(folder):
        raise CheckpointError("of no use")

    with pytest.raises(CheckpointError):
        download(NAME, lambda *heard: seen.append(heard), refuse)
    settings = sum(len(content) for name, content in MODEL.items() if not name.endswith(OF_WEIGHTS))
    assert seen[-1] == (settings, sum(map(len, MODEL.values())))


def test_model_in_the_cache_is_checked_too(hub, constants, monkeypatch):
    folder = download(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    seen = []
    assert download(NAME, check=seen.append) == folder
    assert seen == [folder]

    def refuse(folder):
        raise CheckpointError(f"{folder} is of no use")

    with pytest.raises(CheckpointError, match=r"^owl/eyes-3b is of no use"):
        download(NAME, check=refuse)


# ------------------------------------------------------------------------------------------------ what is checked where


@pytest.mark.parametrize("use", [ojito.load, find_folder], ids=["load", "commands"])
def test_family_that_ojito_has_not_is_refused_before_its_weights(hub, use):
    hub.commits[NAME][FIRST] = {**MODEL, "config.json": b'{"model_type": "qwen2_vl"}'}
    with pytest.raises(CheckpointError, match=r"^owl/eyes-3b/config\.json: model_type is 'qwen2_vl'; Ojito knows p"):
        use(NAME)
    assert not weights_asked_for(hub)


@pytest.mark.parametrize("command", ["info", "ask", "convert", "train"])
def test_commands_refuse_before_the_weights(hub, refused, tmp_path, command):
    hub.commits[NAME][FIRST] = {**MODEL, "config.json": b'{"model_type": "qwen2_vl"}'}
    image = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(image)
    words = {
        "info": [NAME],
        "ask": [NAME, image, "what is it?"],
        "convert": [NAME, "--out", tmp_path / "out"],
        "train": ["--from", NAME],
    }
    assert "owl/eyes-3b/config.json: model_type is 'qwen2_vl'" in refused(command, *words[command])
    assert not weights_asked_for(hub)


def test_missing_tokenizer_is_told_before_the_weights(hub, tmp_path):
    files = as_files(save_decoder(tmp_path / "decoder"))
    del files["tokenizer.json"]
    hub.commits[NAME][FIRST] = files
    with pytest.raises(CheckpointError, match=r"^owl/eyes-3b: has no tokenizer\.json"):
        ojito.build(vision="tiny", decoder=NAME)
    assert not weights_asked_for(hub)


@pytest.mark.parametrize("missing", ["tokenizer.json", "processor.json"])
def test_missing_file_of_our_own_form_is_told_before_the_weights(hub, join, tmp_path, missing):
    join().save(tmp_path / "own")
    files = as_files(tmp_path / "own")
    hub.commits[NAME][FIRST] = files
    assert find_folder(NAME).name == FIRST
    del files[missing]
    hub.asked.clear()
    hub.branches[NAME]["lacking"] = "2" * 40
    hub.commits[NAME]["2" * 40] = {**files, "model.safetensors": b"others"}
    with pytest.raises(CheckpointError, match=f"^owl/eyes-3b: has no {missing}"):
        ojito.load(f"{NAME}@lacking")
    assert not weights_asked_for(hub)


def test_setting_of_our_own_form_that_is_unknown_is_told_before_the_weights(hub, join, tmp_path):
    join().save(tmp_path / "own")
    files = as_files(tmp_path / "own")
    config = json.loads(files["config.json"])
    config["model"]["vision"]["eyes"] = 3
    hub.commits[NAME][FIRST] = {**files, "config.json": json.dumps(config).encode()}
    with pytest.raises(ConfigError, match=r"^owl/eyes-3b/config\.json: model\.vision\.eyes"):
        ojito.load(NAME)
    assert not weights_asked_for(hub)


@pytest.mark.parametrize("kind", ["vision", "decoder"])
def test_part_is_checked_for_what_it_is_to_be(hub, parts, tmp_path, kind):
    """What decides is the use: a tower is no whole model, and no decoder."""
    hub.commits[NAME][FIRST] = as_files(save_tower(tmp_path / "tower"))
    decoder = parts / "smollm"
    if kind == "vision":
        assert ojito.build(vision=NAME, decoder=decoder).name == "eyes-3b-smollm"
        assert "model.safetensors" in hub.paths
        return
    with pytest.raises(CheckpointError, match="it is a vision tower, and a decoder is needed"):
        ojito.build(vision="tiny", decoder=NAME)
    assert not weights_asked_for(hub)
    with pytest.raises(CheckpointError, match="it is a part: join it with another"):
        ojito.load(NAME)
    assert not weights_asked_for(hub)
