"""`ojito train`: which recipe it follows, what it writes, and what it leaves when it is stopped."""

import json

import pytest
import yaml

from ojito.data import Batches, DataError
from ojito.settings import read_yaml
from ojito.trainer import TrainingError


def printed_recipe(run, *words):
    code, out, err = run("train", *words, "--print-config")
    assert (code, err) == (0, "")
    return yaml.safe_load(out)


# ---------------------------------------------------------------------------------------------------- recipes, who wins


def test_print_config_reads_back_as_the_same_recipe(run, tmp_path):
    code, first, _ = run("train", "train.lr=3e-4", "train.freeze=[vision]", "--print-config")
    assert code == 0
    (tmp_path / "r.yaml").write_text(first)
    assert run("train", "--config", tmp_path / "r.yaml", "--print-config")[1] == first
    assert "lr: 0.0003" in first


def test_print_config_as_json_is_the_same_recipe(run):
    assert json.loads(run("train", "--print-config", "--json")[1]) == printed_recipe(run)


def test_tiny_is_the_preset_where_none_is_named(run):
    assert printed_recipe(run) == printed_recipe(run, "--preset", "tiny")


def test_recipe_without_a_preset_stands_on_its_own(run, recipe):
    assert printed_recipe(run, "--config", recipe)["model"]["connector"]["reduce"] == "none"
    assert printed_recipe(run, "--config", recipe)["name"] == "micro"


def test_recipe_wins_over_the_preset_that_it_names(run, tmp_path):
    (tmp_path / "r.yaml").write_text("preset: tiny\ntrain: {batch_size: 7}")
    tiny = printed_recipe(run)
    expected = {**tiny, "train": {**tiny["train"], "batch_size": 7}}
    assert printed_recipe(run, "--config", tmp_path / "r.yaml") == expected
    (tmp_path / "bare.yaml").write_text("train: {batch_size: 7}")
    assert printed_recipe(run, "--config", tmp_path / "bare.yaml", "--preset", "tiny") == expected


def test_flags_win_over_the_recipe_and_settings_over_flags(run, recipe):
    flags = ("--config", recipe, "--data", "there", "--steps", 5, "--seed", 9)
    found = printed_recipe(run, *flags)
    assert (found["data"]["path"], found["train"]["steps"], found["train"]["seed"]) == ("there", 5, 9)
    found = printed_recipe(run, *flags, "data.path=elsewhere", "train.steps=6", "train.seed=10")
    assert (found["data"]["path"], found["train"]["steps"], found["train"]["seed"]) == ("elsewhere", 6, 10)


def test_settings_may_stand_between_flags_and_the_last_wins(run, recipe):
    words = ("--config", recipe, "train.lr=1e-3", "--steps", 5, "train.lr=2e-3", "--seed", 3, "train.clip=0.5")
    found = printed_recipe(run, *words)["train"]
    assert (found["lr"], found["steps"], found["seed"], found["clip"]) == (2e-3, 5, 3, 0.5)


def test_steps_and_minutes_replace_each_other_unless_both_are_given(run, recipe):
    def length(*words):
        train = printed_recipe(run, "--config", recipe, *words)["train"]
        return train["steps"], train["minutes"]

    assert length() == (3, 0.0)
    assert length("--minutes", 10) == (0, 10.0)
    assert length("--steps", 9, "train.minutes=1") == (9, 1)
    assert length("--steps", 9, "--minutes", 10) == (9, 10.0)


def test_preset_must_be_a_name(refused, tmp_path):
    (tmp_path / "r.yaml").write_text("preset: [tiny]")
    said = refused("train", "--config", tmp_path / "r.yaml")
    assert said.startswith("ojito: error: preset: ['tiny'] is not the name of a preset")


def test_group_that_is_no_group_is_refused_whatever_the_flags(refused, tmp_path):
    (tmp_path / "r.yaml").write_text("data: 3")
    assert "data: 3 is not a mapping of settings" in refused("train", "--config", tmp_path / "r.yaml", "--print-config")


# ------------------------------------------------------------------------------------------------- --from, before it is


@pytest.fixture
def no_weights(monkeypatch, trained):
    """A model of which the small files are fetched; weights would be too many."""

    def download(name, progress, check):
        check(trained)
        pytest.fail("fetched")

    monkeypatch.setattr("ojito.loading.download", download)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train.lrr=1", "train.lrr: unknown setting; did you mean lr?"),
        ("trian.lr=1", "trian: unknown setting; did you mean train?"),
        ("model.decoder.heads=7", "is not divisible by"),
        ("lr", "lr: is not a setting; write key=value"),
        ("--out {trained}", "holds a model already"),
        ("--config gone.yaml", "gone.yaml: cannot be read"),
        ("--preset tiny", "--from owner/name and the preset tiny are two to start from"),
        ("--config {tmp}/r.yaml", "--from owner/name and the preset tiny are two to start from"),
        ("data.path=gone", "gone: does not exist; check the path"),
    ],
)
def test_what_is_wrong_is_said_before_the_weights_are_fetched(refused, trained, tmp_path, no_weights, words, said):
    (tmp_path / "r.yaml").write_text("preset: tiny")
    assert said in refused("train", "--from", "owner/name", *words.format(tmp=tmp_path, trained=trained).split())


def test_settings_are_those_of_the_model_that_is_fetched(run, trained, monkeypatch):
    told = []

    def download(name, progress, check):
        told.append(name)
        check(trained)
        progress(1, 2)
        return trained

    monkeypatch.setattr("ojito.loading.download", download)
    words = ("train.batch_size=33", "train.accumulate=3", "model.decoder.layers=1", "--out", trained)
    assert printed_recipe(run, "--from", "owner/name", *words)["train"]["batch_size"] == 33
    assert told == ["owner/name"]


# ------------------------------------------------------------------------------------------------------------- training


def test_train_writes_a_folder_and_says_what_is_next(run, images, recipe, tmp_path):
    out = tmp_path / "mine"
    code, said, err = run("train", "--config", recipe, "--data", images, "--out", out)
    assert code == 0
    files = {"config.json", "model.safetensors", "tokenizer.json", "processor.json", "recipe.yaml", "metrics.jsonl"}
    assert files <= {path.name for path in out.iterdir() if path.is_file()}
    assert f"the model is in {out}" in said
    assert "on 2 questions of dev:" in said
    assert f"ojito caption {out} IMAGE" in said
    assert "micro" in err
    assert read_yaml(out / "recipe.yaml")["data"]["path"] == str(images)


def test_train_as_json_writes_json_alone(run, images, recipe, tmp_path):
    words = ("--data", images, "--out", tmp_path / "mine", "--json", "train.eval_every=2", "--seed", 5)
    code, said, err = run("train", "--config", recipe, *words)
    values = json.loads(said)
    assert code == 0
    assert (values["steps"], values["interrupted"], values["bad_rows"]) == (3, False, [])
    assert values["evaluation"]["n"] == 2
    assert "step 2:" in err  # the evaluation on the way


def test_train_without_a_dev_split_says_that_nothing_was_evaluated(run, images, recipe, tmp_path):
    words = ("--data", images, "--out", tmp_path / "mine", "data.eval_split=held")
    code, said, _ = run("train", "--config", recipe, *words)
    assert code == 0
    assert 'no row has split "held"' in said


def test_train_never_replaces_a_model_without_force(refused, images, recipe, trained):
    before = (trained / "model.safetensors").read_bytes()
    words = ("train", "--config", recipe, "--data", images, "--out", trained, "--steps", 1, "--seed", 7)
    assert "--force" in refused(*words)
    assert (trained / "model.safetensors").read_bytes() == before


def test_force_replaces_the_model(run, images, recipe, tmp_path):
    words = ("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine")
    run(*words)
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    assert run(*words, "--force", "--seed", 7)[0] == 0
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() != before


def test_seed_changes_the_weights_and_the_same_seed_does_not(run, images, recipe, tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(number)
        run("train", "--config", recipe, "--data", images, "--out", out, "--seed", seed, "--device", "cpu")
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_interrupted_training_saves_and_exits_with_130(run, images, recipe, tmp_path, monkeypatch):
    original, served = Batches.__next__, []

    def interrupted(self):
        served.append(1)
        if len(served) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Batches, "__next__", interrupted)
    code, said, _ = run("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine", "--steps", 50)
    assert code == 130
    assert said.startswith("2 steps in")
    assert (tmp_path / "mine" / "model.safetensors").is_file()


def test_interrupt_before_the_first_step_saves_nothing(run, images, recipe, tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, "__next__", interrupted)
    code, said, _ = run("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine")
    assert code == 130
    assert "nothing was saved" in said
    assert not (tmp_path / "mine" / "model.safetensors").exists()


@pytest.mark.parametrize(("steps", "kept"), [(2, True), (0, False)])
@pytest.mark.parametrize("error", [TrainingError, DataError])
def test_training_that_fails_keeps_what_it_learned_but_not_in_place_of_a_model(
    run, images, recipe, tmp_path, monkeypatch, error, steps, kept
):
    words = ("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine")
    run(*words)
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()

    original, served = Batches.__next__, []

    def fails(self):
        served.append(1)
        if len(served) > steps:
            raise error("data", "does not go on", "mend it")
        return original(self)

    monkeypatch.setattr(Batches, "__next__", fails)
    code, _, err = run(*words, "--force", "--seed", 3)
    assert (code, (tmp_path / "mine" / "model.safetensors").read_bytes()) == (2, before)
    assert "ojito: error: data: does not go on" in err
    served.clear()
    code, _, err = run(*words[:-1], tmp_path / "new")
    assert code == 2
    assert (tmp_path / "new" / "model.safetensors").is_file() is kept
    assert ("the last good weights are in" in err) is kept


def test_bad_rows_are_named_and_counted(run, images, recipe, tmp_path):
    for image in images.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    rows = (images / "captions.jsonl").read_text()
    (tmp_path / "captions.jsonl").write_text(rows + '\n{"image": "gone.png", "caption": "x"}')
    words = ("train", "--config", recipe, "--data", tmp_path, "--out", tmp_path / "mine")
    code, said, _ = run(*words, "--json", "data.max_bad=0.2")
    assert code == 0
    assert "gone.png" in json.loads(said)["bad_rows"][0]
    code, _, err = run(*words, "--force")
    assert code == 2
    assert "1 of 9 rows are bad, more than data.max_bad=0.05" in err


def test_train_and_eval_read_real_photographs(run, data_folder, recipe, tmp_path):
    data = data_folder / "flickr8k_128" / "captions.jsonl"
    words = ("--data", data, "--out", tmp_path / "mine", "train.eval_samples=4", "processor.prompt.max_tokens=90")
    code, said, _ = run("train", "--config", recipe, *words, "--json")
    assert code == 0
    assert json.loads(said)["bad_rows"] == []
    assert json.loads(said)["evaluation"]["n"] == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train steps", "steps: is not a setting; write key=value"),
        ("train --preset tny", "did you mean tiny?"),
        ("train --config missing.yaml", "missing.yaml: cannot be read (No such file or directory)"),
        ("train train.lrr=1", "train.lrr: unknown setting; did you mean lr?"),
        ("train model.decoder.heads=7", "is not divisible by"),
        ("train --steps 0", "leave no training"),
        ("train --data missing --out {tmp}/x", "missing: does not exist; check the path"),
        ("train --device tpu --out {tmp}/x", "device: 'tpu' is not one of auto, cpu"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, tmp_path, words, said):
    assert said in refused(*words.format(tmp=tmp_path).split())


def test_first_lines_say_how_data_are_read(run, images, recipe, tmp_path):
    code, _, said = run("train", "--config", recipe, "--data", images, "--out", tmp_path / "m", "--steps", 1)
    assert code == 0
    assert "data: JSON Lines (8 rows): 8 captions of 8 images\n" in said
