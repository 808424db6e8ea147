"""`ojito train`: which recipe it follows, what it writes, and what it leaves when it is stopped."""

import io
import json
import signal

import pytest
import yaml
from PIL import Image

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


def test_steps_as_a_setting_replace_the_minutes_of_a_preset_as_the_flag_does(run, tmp_path):
    def length(*words):
        train = printed_recipe(run, *words)["train"]
        return train["steps"], train["minutes"]

    assert length() == (0, 2.0)
    assert length("train.steps=500") == length("--steps", 500) == (500, 0)
    assert length("--preset", "char", "train.minutes=3") == (0, 3)
    assert length("train.steps=500", "train.minutes=3") == (500, 3)
    assert length("--minutes", 5, "train.steps=500") == (500, 5)
    assert length("train.steps=0") == (0, 2.0)
    (tmp_path / "r.yaml").write_text("preset: tiny\ntrain: {steps: 7}")
    assert length("--config", tmp_path / "r.yaml") == length("--preset", tmp_path / "r.yaml") == (7, 0)
    assert length("--config", tmp_path / "r.yaml", "train.minutes=3") == (0, 3)


def test_preset_may_be_a_recipe(run, recipe, tmp_path):
    assert printed_recipe(run, "--preset", recipe) == printed_recipe(run, "--config", recipe)
    (tmp_path / "mine.yaml").write_text("preset: tiny\ntrain: {batch_size: 7}")
    found = printed_recipe(run, "--preset", tmp_path / "mine.yaml", "train.lr=1")
    tiny = printed_recipe(run)
    assert found == {**tiny, "name": "mine", "train": {**tiny["train"], "batch_size": 7, "lr": 1.0}}
    code, said, _ = run("info", tmp_path / "mine.yaml")
    assert (code, said.split()[0]) == (0, f"{tmp_path / 'mine.yaml'}:")


def test_data_that_are_an_address_are_refused(refused, trained):
    said = "https://example.org/a.zip: is an address, and Ojito never goes online; download it and give the path"
    assert said in refused("train", "--data", "https://example.org/a.zip")
    assert said in refused("eval", trained, "https://example.org/a.zip")


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
    assert said.startswith('nothing was held out to score the model on (no row has split "held")')


@pytest.fixture
def unsplit(tmp_path):
    """Forty images with a question each, and no split."""
    rows = []
    for number in range(40):
        Image.new("RGB", (8, 8), (6 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": 'is "it" dark?', "answer": "yes"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "rows.jsonl"


def test_score_of_rows_that_were_held_out_comes_first(run, unsplit, recipe, tmp_path):
    words = ("train", "--config", recipe, "--data", unsplit, "--out", tmp_path / "mine")
    _, said, err = run(*words)
    assert said.startswith("on 8 questions of dev, 8 rows held out of training: ")
    assert "held out 8 of 40 rows, by image" in err
    _, said, _ = run(*words, "--force", "--json", "data.hold_out=0")
    assert (json.loads(said)["held_out"], json.loads(said)["evaluation"]) == (0, None)
    _, said, _ = run("eval", tmp_path / "mine", unsplit)
    assert said.startswith("all 40 rows were learned in training")


def test_images_on_both_sides_of_a_split_are_said(run, images, recipe, tmp_path):
    rows = [{"image": str(images / "0.png"), "caption": "x", "split": split} for split in ("train", "dev")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, said, _ = run("train", "--config", recipe, "--data", tmp_path / "rows.jsonl", "--out", tmp_path / "mine")
    assert said.startswith("on 1 questions of dev (1 of its rows have images that were learned in training): ")


def test_next_commands_are_those_that_the_model_was_trained_for(run, images, unsplit, recipe, tmp_path):
    _, said, _ = run("train", "--config", recipe, "--data", images, "--out", tmp_path / "a b")
    commands = said.partition("next:\n")[2].split("\n")
    assert commands[0] == f"  ojito caption '{tmp_path / 'a b'}' IMAGE"
    assert "ask" not in said
    _, said, _ = run("train", "--config", recipe, "--data", unsplit, "--out", tmp_path / "asked")
    assert f"  ojito ask {tmp_path / 'asked'} IMAGE 'is \"it\" dark?'\n" in said
    assert "ojito caption" not in said


def test_evaluation_in_which_nothing_can_be_asked_is_null(run, images, recipe, tmp_path):
    row = {"image": "bad.png", "caption": "x", "split": "dev"}
    good = [{"image": str(images / "0.png"), "caption": "x", "split": "train"}] * 3
    (tmp_path / "bad.png").write_bytes((images / "0.png").read_bytes()[:60])
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*good, row])))
    words = ("train", "--config", recipe, "--data", tmp_path / "rows.jsonl", "--out", tmp_path / "mine")
    code, said, err = run(*words, "--json", "train.eval_every=1")
    values = json.loads(said)
    assert (code, values["steps"], values["evaluation"], len(values["bad_rows"])) == (0, 3, None, 1)
    assert "rows.jsonl:4" in err
    said = run(*words, "--force")[1]
    assert said.startswith("no row of dev could be asked, so nothing was evaluated")
    assert f"the model is in {tmp_path / 'mine'}" in said


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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_saves_and_exits_with_128_and_its_number(run, images, recipe, tmp_path, monkeypatch, name):
    original, served = Batches.__next__, []

    def killed(self):
        served.append(1)
        if len(served) == 3:
            signal.raise_signal(getattr(signal, name))
        return original(self)

    monkeypatch.setattr(Batches, "__next__", killed)
    words = ("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine", "--steps", 50)
    code, said, _ = run(*words)
    assert code == 128 + getattr(signal, name)
    assert said.startswith("2 steps in")
    assert run("info", tmp_path / "mine")[0] == 0
    monkeypatch.setattr("ojito.training.begin.open_data", lambda *args: signal.raise_signal(getattr(signal, name)))
    assert run(*words[:-4], "--out", tmp_path / "new")[0] == 128 + getattr(signal, name)
    assert not (tmp_path / "new").exists()


def test_closed_terminal_is_no_error_when_the_model_is_saved(run, images, recipe, tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def flush(self):
            raise OSError(5, "Input/output error")

        def fileno(self):
            return 1

    monkeypatch.setattr("sys.stdout", Closed())
    monkeypatch.setattr("os.dup2", lambda *args: monkeypatch.undo())
    monkeypatch.setattr(Batches, "__next__", lambda self: signal.raise_signal(signal.SIGHUP))
    words = ("train", "--config", recipe, "--data", images, "--out", tmp_path / "mine")
    assert run(*words)[0] == 128 + signal.SIGHUP


def test_folder_that_cannot_be_written_is_said_before_the_data_are_read(refused, tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for words in (("train",), ("build", "--vision", "tiny", "--decoder", "tiny"), ("convert", "tiny")):
        said = refused(*words, "--out", tmp_path / "mine")
        assert f"--out {tmp_path / 'mine'}: cannot be written (Permission denied); give another folder" in said
    assert not (tmp_path / "mine").exists()


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
    assert (tmp_path / "mine-failed" / "model.safetensors").is_file() is kept
    assert (f"the last good weights are in {tmp_path / 'mine-failed'}" in err) is kept
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
    assert all("more than processor.prompt.max_tokens 90" in row for row in json.loads(said)["bad_rows"])
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


def test_preset_for_own_images_asks_for_them(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "photos has no images of its own; give yours: --data FILE_OR_FOLDER" in refused(
        "train", "--preset", "photos"
    )
    (tmp_path / "captions.jsonl").write_text('{"image": "gone.png", "caption": "x"}')
    assert "no images of its own" not in refused("train", "--preset", "photos", "--device", "cuda:77")


@pytest.mark.parametrize("words", [("--data", "captions.jsonl"), ("data.path=captions.jsonl",), ("--config", "r.yaml")])
def test_images_that_are_named_and_not_there_are_called_missing(refused, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("preset: photos\ndata: {path: captions.jsonl}")
    assert "captions.jsonl: does not exist" in refused("train", "--preset", "photos", *words)


def test_base_of_an_adapter_reaches_the_training(run, moved, trained, images, tmp_path):
    words = ("train", "--from", moved, "--data", images / "captions.jsonl", "--steps", 2, "--out", tmp_path / "further")
    code, _, err = run(*words)
    assert (code, "is an adapter for /no/such/model, which is not here" in err) == (2, True)
    assert run(*words, "--base", trained)[0] == 0
    assert str(trained) in (tmp_path / "further" / "adapter_config.json").read_text()
