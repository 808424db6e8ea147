"""nanoVLM's models, whose config.json names the repository of their tokenizer."""

import json
import shutil
import string

import pytest
import torch
from safetensors.torch import save

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.hub_cache import neighbour
from ojito.checkpoint.huggingface.families.nanovlm import read_nanovlm
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import TokenizerConfig
from ojito.hub.download import download, download_tokenizer
from ojito.hub.transfer import HubError
from ojito.loading import find_folder, load_for, recipe_of
from ojito.model import VLM
from ojito.processor import Tokenizer
from tests.hub.owl import FIRST, MODEL, NAME, SECOND, contents, tree
from tests.hub.server import git_hash
from tests.noise import noise

WORDS = "owl/words"
LISTINGS = [f"/api/models/{NAME}/revision/main", f"/api/models/{WORDS}/revision/main"]
END = "<|endoftext|>"
CONFIG = {
    "vit_hidden_dim": 24, "vit_inter_dim": 40, "vit_patch_size": 4, "vit_img_size": 16, "vit_n_heads": 3,
    "vit_n_blocks": 1, "lm_hidden_dim": 24, "lm_inter_dim": 40, "lm_vocab_size": 260, "lm_n_heads": 4,
    "lm_n_kv_heads": 2, "lm_n_blocks": 1, "mp_pixel_shuffle_factor": 2, "lm_tokenizer": WORDS,
}  # fmt: skip


@pytest.fixture
def named(hub, tmp_path):
    """A Hub with a model of nanoVLM's, and the tokenizer that it names beside weights of its own."""
    model, _, keys = read_nanovlm(Fields(CONFIG, "config.json"))
    torch.manual_seed(0)
    state = {name: tensor.contiguous() for name, tensor in keys.to_theirs(VLM(model).state_dict()).items()}
    Tokenizer.train(TokenizerConfig(eos=(END,), bos=END, pad=END), [string.printable], 260).save(tmp_path / "words")
    files = {
        "tokenizer.json": (tmp_path / "words").read_bytes(),
        "tokenizer_config.json": b'{"model_max_length": 8192}',
    }
    hub.commits = {
        NAME: {FIRST: {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": save(state)}},
        WORDS: {SECOND: {**MODEL, **files}},
    }
    hub.branches[WORDS] = {"main": SECOND}
    return files


def change(hub, **fields):
    """Other fields in the model's config.json."""
    hub.commits[NAME][FIRST]["config.json"] = json.dumps({**CONFIG, **fields}).encode()


def said(name=NAME):
    """What a user reads who loads it."""
    with pytest.raises(CheckpointError) as caught:
        ojito.load(name, "cpu")
    return str(caught.value)


def test_model_is_loaded_by_its_id(hub, named, tmp_path):
    pipe = ojito.load(NAME, "cpu")
    model, words = LISTINGS
    assert hub.paths == [model, "config.json", words, "tokenizer_config.json", "tokenizer.json", "model.safetensors"]
    beside = shutil.copytree(find_folder(NAME), tmp_path / "eyes-3b")
    (beside / "tokenizer.json").write_bytes(named["tokenizer.json"])
    image = noise((20, 30))
    answers = [made.ask(image, "what is it?", max_new_tokens=4) for made in (pipe, ojito.load(beside, "cpu"))]
    assert answers[0] == answers[1]
    assert pipe.name == "eyes-3b"


def test_tokenizer_lies_in_the_folder_of_its_own_repository(hub, cache, named):
    folder = find_folder(NAME)
    assert set(contents(folder)) == {"config.json", "model.safetensors"}
    words = cache / "models--owl--words"
    assert contents(words / "snapshots" / SECOND) == named
    assert {path.name for path in (words / "blobs").iterdir()} == {git_hash(content) for content in named.values()}
    assert (words / "refs" / "main").read_text() == SECOND
    assert not [path for path in tree(cache) if "incomplete" in path]


def test_tokenizer_is_the_named_one(hub, named):
    other = b'{"eos_token": "a", "bos_token": "b"}'
    hub.commits["owl/others"] = {SECOND: {**named, "tokenizer_config.json": other}}
    hub.branches["owl/others"] = {"main": SECOND}
    assert ojito.load(NAME, "cpu").processor.config.tokenizer.eos == (END,)
    change(hub, lm_tokenizer="owl/others")
    assert ojito.load(NAME, "cpu").processor.config.tokenizer.eos == ("a",)


def test_config_without_the_field_means_the_first_releases(hub, named):
    hub.commits["HuggingFaceTB/cosmo2-tokenizer"] = hub.commits.pop(WORDS)
    hub.branches["HuggingFaceTB/cosmo2-tokenizer"] = {"main": SECOND}
    change(hub, lm_tokenizer=None)
    assert ojito.load(NAME, "cpu").processor.tokenizer.size == 260


def test_second_load_does_not_ask_for_the_tokenizer(hub, named):
    ojito.load(NAME, "cpu")
    hub.asked.clear()
    ojito.load(NAME, "cpu")
    assert hub.paths == LISTINGS[:1]


def test_tokenizer_that_the_cache_has_does_not_move_its_branch(hub, cache, named):
    download(WORDS)
    hub.commits[WORDS]["3" * 40] = hub.commits[WORDS][SECOND]
    hub.branches[WORDS]["main"] = "3" * 40
    hub.asked.clear()
    assert download_tokenizer(WORDS).name == SECOND
    assert not hub.asked
    assert (cache / "models--owl--words" / "refs" / "main").read_text() == SECOND


def test_offline_both_are_taken_from_the_cache(hub, constants, monkeypatch, cache, named):
    ojito.load(NAME, "cpu")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ojito.load(NAME, "cpu").name == "eyes-3b"
    shutil.rmtree(cache / "models--owl--words")
    assert said() == (
        f"{NAME}: names its tokenizer: {WORDS}@main: is not whole in {cache}, and HF_HUB_OFFLINE forbids to fetch it; "
        "unset HF_HUB_OFFLINE, or give a folder"
    )
    assert not hub.asked


def test_snapshot_that_is_given_as_a_folder_finds_its_tokenizer_without_the_hub(hub, constants, monkeypatch, named):
    folder = find_folder(NAME)
    hub.close()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert ojito.load(folder, "cpu").name == "eyes-3b"
    config = recipe_of(folder)
    pipe = load_for(config, folder, "cpu")
    assert pipe.processor.tokenizer.size == 260
    assert config.processor.tokenizer.path == str(download_tokenizer(WORDS) / "tokenizer.json")


def test_folder_outside_the_cache_asks_nobody(hub, named, tmp_path):
    shutil.copytree(find_folder(NAME), tmp_path / "mine")
    hub.asked.clear()
    assert said(tmp_path / "mine") == (
        f"{tmp_path / 'mine'}: has no tokenizer.json, and nanoVLM's folders bring none; copy that of "
        f"https://huggingface.co/{WORDS} there, which its lm_tokenizer names"
    )
    assert not hub.asked


def test_tokenizer_beside_the_config_is_taken_first(hub, named):
    hub.commits[NAME][FIRST]["tokenizer.json"] = named["tokenizer.json"]
    assert ojito.load(NAME, "cpu").processor.tokenizer.size == 260
    assert LISTINGS[1] not in hub.paths


def test_tokenizer_that_was_stopped_is_gone_on_with(hub, cache, named):
    hub.stops["tokenizer.json"] = [1000] + [0] * 9
    assert "cannot be reached" in said()
    hub.stops.clear()
    hub.asked.clear()
    assert ojito.load(NAME, "cpu").processor.tokenizer.size == 260
    assert [headers.get("Range") for headers in hub.headers("/tokenizer.json")] == ["bytes=1000-"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (WORDS, f"{NAME}: names its tokenizer: owl/words: has a licence to accept"),
        ("owl/none", f"{NAME}: names its tokenizer: owl/none: is no folder, and on"),
        ("owl/bare", f"{NAME}: names its tokenizer: {{url}}/owl/bare: has no tokenizer.json; choose a model with"),
        ("../words", f"{NAME}: has no tokenizer.json, and nanoVLM's folders bring none"),
        (".", f"{NAME}: has no tokenizer.json"),
        ("words", f"{NAME}: has no tokenizer.json"),
        (["owl/words"], f"{NAME}: has no tokenizer.json"),
    ],
)
def test_tokenizer_that_cannot_be_had_is_told_before_the_weights(hub, named, name, message):
    hub.commits["owl/bare"], hub.branches["owl/bare"] = {FIRST: {"README.md": b"x"}}, {"main": FIRST}
    hub.refuses[f"/{WORDS}/resolve"] = (401, "GatedRepo")
    change(hub, lm_tokenizer=name)
    assert said().startswith(message.format(url=hub.url))
    assert "model.safetensors" not in hub.paths


def test_tokenizer_of_other_sizes_is_told_before_the_weights(hub, named):
    change(hub, vlm_extra_tokens={"image_token": "<|image|>"}, lm_base_vocab_size=99)
    assert "tokenizer.json: has 261 entries with the added tokens, and lm_base_vocab_size" in said()
    assert "model.safetensors" not in hub.paths


def test_tokenizer_that_was_changed_on_the_way_is_not_put_in_place(hub, named):
    hub.lies = lambda listing: [entry.update(blobId="0" * 40) for entry in listing["siblings"]
                                if entry["rfilename"] == "tokenizer.json"]  # fmt: skip
    assert f"tokenizer.json of {WORDS}: came damaged" in said()


def test_tokenizer_that_is_too_large_is_not_fetched(hub, named):
    hub.lies = lambda listing: listing["siblings"][1].update(size=65 * 2**20)
    with pytest.raises(HubError, match=r"tokenizer\.json has 68157440 bytes, more than 67108864"):
        download_tokenizer(WORDS)
    assert hub.paths == LISTINGS[1:]


def test_name_that_is_no_id_is_no_tokenizer(hub):
    with pytest.raises(ValueError, match="is no id of the Hugging Face Hub"):
        download_tokenizer("../words")
    with pytest.raises(HubError, match="is no folder, and on"):
        download_tokenizer("owl/none")


# ---------------------------------------------------------------------------------------------------------- neighbours


def test_neighbour_is_the_commit_that_was_noted(hub, cache, named, tmp_path):
    folder = find_folder(NAME)
    expected = cache / "models--owl--words" / "snapshots" / SECOND
    assert neighbour(folder, WORDS) == neighbour(folder, f"{WORDS}@{SECOND}") == expected
    assert neighbour(folder, "owl/none") is None
    assert neighbour(folder, f"{WORDS}@other") is None
    assert neighbour(tmp_path, WORDS) is None
    assert neighbour(folder.parent.parent / "blobs" / "x", WORDS) is None
    (tmp_path / "snapshots" / "x").mkdir(parents=True)
    assert neighbour(tmp_path / "snapshots" / "x", f"{WORDS}@{SECOND}") is None
    (cache / "models--owl--words" / "refs" / "main").write_text("../../../evil")
    assert neighbour(folder, WORDS) is None
