"""`ojito build`, and `ojito train --from` what it wrote, or a public model."""

import dataclasses
import json
import string

import pytest
import torch
from safetensors.torch import load_file

from ojito.cli import main
from ojito.config import TokenizerConfig
from ojito.loading import FINE_TUNING, load, load_for, recipe_of
from ojito.processor import Tokenizer
from tests.public_parts import same


@pytest.fixture
def run(run):
    """Whatever devices there are."""
    return lambda *words: run(*words, "--device", "cpu")


@pytest.fixture
def data(tmp_path, image):
    """Two images with captions."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{"image": f"{number}.png", "caption": text} for number, text in enumerate(["a red ball", "grey noise"])]
    for row in rows:
        image.save(folder / row["image"])
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


TRAIN = ("train.batch_size=2", "--steps", 3)


def test_build_then_train_then_caption(run, parts, data, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--out", tmp_path / "new")
    code, out, err = run(*words, "--connector", "pixel_shuffle:2", "name=fresh")
    assert (code, err) == (0, "")
    assert out.startswith("fresh: ")
    assert "4 tokens per image" in out
    assert f"ojito train --from {tmp_path / 'new'}" in out

    code, out, err = run("train", "--from", tmp_path / "new", "--data", data, "--out", tmp_path / "trained", *TRAIN)
    assert code == 0, err
    new, trained = (load(tmp_path / name, "cpu", "float32") for name in ("new", "trained"))
    assert not same(new.model.decoder, trained.model.decoder)
    assert trained.config.train == dataclasses.replace(new.config.train, steps=3, batch_size=2)
    files = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("new", "trained")]
    assert files[0] == files[1]
    assert run("caption", tmp_path / "trained", data / "0.png", "--max-new-tokens", 2)[0] == 0


def test_build_saves_float32_and_reports_json(run, parts, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--out", tmp_path / "new", "--json")
    code, out, _ = run(*words)
    said = json.loads(out)
    assert (code, said["out"], said["name"], said["image_tokens"]) == (0, str(tmp_path / "new"), "siglip-smollm", 16)
    assert said["parameters"]["total"] == sum(said["parameters"][part] for part in ("vision", "connector", "decoder"))
    assert {tensor.dtype for tensor in load_file(tmp_path / "new" / "model.safetensors").values()} == {torch.float32}
    code, _, err = run(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds a model already; choose another folder, or replace it with --force" in err
    before = load_file(tmp_path / "new" / "model.safetensors")["connector.project.0.weight"]
    assert run(*words, "--force", "--seed", 5)[0] == 0
    assert not torch.equal(load_file(tmp_path / "new" / "model.safetensors")["connector.project.0.weight"], before)


@pytest.mark.parametrize(
    ("connector", "family", "said"),
    [
        ("mlp", "llava", "it can be exported as llava, which transformers loads (ojito convert)"),
        ("perceiver:4", None, "it cannot be exported: is of no family that Hugging Face knows; the nearest is"),
        ("pixel_shuffle:2", None, "it cannot be exported: processor.image."),
    ],
)
def test_build_says_beforehand_whether_the_model_can_leave_again(run, parts, tmp_path, connector, family, said):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--connector", connector)
    code, out, _ = run(*words, "--out", tmp_path / "new")
    assert code == 0
    assert out.splitlines()[1].startswith(said)
    assert out.splitlines()[1].endswith("--like makes one that can be") == (family is None)
    values = json.loads(run(*words, "--out", tmp_path / "new", "--force", "--json")[1])
    assert values["export"] == family
    assert bool(values["no_export"]) == (family is None)
    code, _, err = run("convert", tmp_path / "new", "--out", tmp_path / "out")
    assert (code == 0) == (family is not None), err


def test_build_follows_the_family_that_is_named(run, parts, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--like", "idefics3", "--json")
    values = json.loads(run(*words, "--out", tmp_path / "new")[1])
    assert (values["export"], values["image_tokens"]) == ("idefics3", 4)
    assert run("convert", tmp_path / "new", "--out", tmp_path / "out")[0] == 0


def test_build_says_which_parts_are_untrained(run, parts, tmp_path):
    for vision, said in ((parts / "siglip", "its connector ("), ("tiny", "its tower (")):
        words = ("build", "--vision", vision, "--decoder", parts / "smollm", "--out", tmp_path / "new", "--force")
        code, out, _ = run(*words, "model.decoder.max_positions=512")
        assert code == 0
        untrained = out.splitlines()[2]
        assert untrained.startswith(said)
    assert ") and its connector (" in out
    assert "are untrained" in out


def test_fetching_the_parts_is_told(run, parts, tmp_path, monkeypatch):
    told = []

    def download(name, progress, *_):
        told.append(name)
        progress(1, 2)
        return parts / name.partition("/")[2]

    monkeypatch.setattr("ojito.loading.download", download)
    words = ("build", "--vision", "owner/siglip", "--decoder", "owner/smollm", "--out", tmp_path / "new")
    assert run(*words)[0] == 0
    assert told == ["owner/siglip", "owner/smollm"]


def test_device_reaches_the_building(capsys, parts, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--out", tmp_path / "new")
    assert main([*map(str, words), "--device", "bogus"]) == 2
    assert "device: 'bogus' is not one of auto" in capsys.readouterr().err


def test_saved_recipe_may_be_given_to_the_training_that_goes_on(run, join, tmp_path):
    join().save(tmp_path / "new")
    words = ("train", "--from", tmp_path / "new", "--config", tmp_path / "new" / "recipe.yaml", "--print-config")
    assert run(*words)[0] == 0
    load_for(recipe_of(tmp_path / "new"), tmp_path / "new", "cpu")


def test_recipe_of_a_converted_model_finds_its_tokenizer(run, join, data, tmp_path, monkeypatch):
    """Without a recipe of its own; and from another place than where it was trained."""
    pipe = join()
    pipe.config = None
    pipe.save(tmp_path / "new")
    assert run("train", "--from", tmp_path / "new", "--data", data, "--out", tmp_path / "mine", *TRAIN)[0] == 0
    monkeypatch.chdir(data)
    assert run("train", "--config", tmp_path / "mine" / "recipe.yaml", "--out", tmp_path / "again", *TRAIN)[0] == 0


def test_train_from_starts_with_the_recipe_of_the_folder(run, join, tmp_path):
    join(settings=["train.lr=0.25", "train.steps=7"]).save(tmp_path / "new")
    (tmp_path / "over.yaml").write_text("train: {weight_decay: 0.5, betas: [0.5, 0.6]}")
    code, out, _ = run(
        "train", "--from", tmp_path / "new", "--config", tmp_path / "over.yaml", "--steps", 9, "train.betas=[0.1, 0.2]",
        "--print-config", "--json",
    )  # fmt: skip
    train = json.loads(out)["train"]
    assert code == 0
    assert (train["lr"], train["weight_decay"], train["steps"], train["betas"]) == (0.25, 0.5, 9, [0.1, 0.2])


def test_train_from_may_replace_the_folder_itself(run, join, data, tmp_path):
    pipe = join()
    pipe.save(tmp_path / "new")
    words = ("train", "--from", tmp_path / "new", "--data", data, "--out", tmp_path / "new", *TRAIN)
    assert run(*words)[0] == 2
    assert run(*words, "--force")[0] == 0
    assert not same(load(tmp_path / "new", "cpu", "float32").model.connector, pipe.model.connector)


def test_train_from_has_a_line_for_each_mistake(run, join, tmp_path):
    join().save(tmp_path / "new")
    (tmp_path / "preset.yaml").write_text("preset: tiny")
    for words, problem in (
        (("--from", tmp_path / "new", "--preset", "tiny"), "and the preset tiny are two to start from; name one"),
        (("--from", tmp_path / "new", "--config", tmp_path / "preset.yaml"), "and the preset tiny are two to start"),
        (("--from", "tiny"), "--from tiny: is a preset, and goes on with no weights; write --preset tiny"),
        (("--from", tmp_path / "nwe"), "did you mean"),
        (
            ("--from", tmp_path / "new", "model.decoder.width=32", "--out", tmp_path / "out"),
            "model.decoder.width at 24",
        ),
    ):
        code, _, err = run("train", *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert problem in err


def test_public_model_is_fine_tuned(run, data, tmp_path):
    """A PaliGemma of transformers', with its 1152 tokens for places and masks."""
    transformers = pytest.importorskip("transformers")
    names = TokenizerConfig(bos="<bos>", eos=("<eos>",), pad="<pad>", added=("<loc{0000..1023}>", "<seg{000..127}>"))
    folder = tmp_path / "paligemma"
    text = {
        "vocab_size": 1420, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 16,
        "patch_size": 4, "vision_use_head": False,
    }  # fmt: skip
    config = transformers.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **vision}, text_config={"model_type": "gemma", **text},
        projection_dim=24, image_token_id=1419,
    )  # fmt: skip
    transformers.PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    Tokenizer.train(names, [string.printable], 1411).save(folder / "tokenizer.json")
    said = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))

    weights = (folder / "model.safetensors").read_bytes()
    code, _, err = run("train", "--from", folder, "--data", data, "--out", tmp_path / "tuned", *TRAIN)
    assert code == 0, err
    assert "1152" not in err
    before, tuned = load(folder, "cpu", "float32"), load(tmp_path / "tuned", "cpu", "float32")
    assert (tuned.name, tuned.config.train.lr, tuned.model.config) == ("paligemma", FINE_TUNING.lr, before.model.config)
    assert not same(before.model.decoder, tuned.model.decoder)
    both = zip(*(pipe.model.state_dict().values() for pipe in (before, tuned)), strict=True)
    difference = max(float((a - b).abs().max()) for a, b in both)
    assert difference < 1e-3  # it went on from there
    assert tuned.processor.tokenizer.encode("<loc0007>") == before.processor.tokenizer.encode("<loc0007>")
    assert (folder / "model.safetensors").read_bytes() == weights
