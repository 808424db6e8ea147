"""The command line, as a person types it: what it prints, its exit codes, and the one line that a mistake gets."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from ojito.cli import COMMANDS, main
from ojito.data import DataError
from ojito.pipeline import Pipeline
from ojito.processor import Processor
from ojito.settings import ConfigError, read_yaml
from ojito.train import TrainingError

MICRO = """
name: micro
model:
  vision: {image_size: 16, patch_size: 8, width: 16, layers: 1, heads: 2, mlp_dim: 16}
  decoder: {vocab_size: 300, width: 16, layers: 1, heads: 2, mlp_dim: 16, max_positions: 96}
train: {steps: 3, batch_size: 4, log_every: 1}
"""
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Eight pictures with captions; the last two are the dev split."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(8):
        colour = list(COLOURS)[number % 4]
        Image.new("RGB", (20 + number, 20), COLOURS[colour]).save(folder / f"{number}.png")
        split = "dev" if number >= 6 else "train"
        rows.append({"image": f"{number}.png", "caption": f"a {colour} picture", "split": split})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "micro.yaml"
    path.write_text(MICRO)
    return path


@pytest.fixture(scope="module")
def trained(pictures, recipe, tmp_path_factory):
    """A model after three steps: it knows nothing, but it is whole."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    assert main(["train", "--config", str(recipe), "--data", str(pictures), "--out", str(out), "--device", "cpu"]) == 0
    return out


@pytest.fixture
def run(capsys):
    """Runs a command here; returns its exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def counting(call, sizes):
    """A processor's call that notes how many samples it gets."""

    def noting(processor, samples, *args, **options):
        sizes.append(len(samples))
        return call(processor, samples, *args, **options)

    return noting


def start(*words, **options):
    """Runs a command in a process of its own."""
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False, **options)


def printed_recipe(run, *words):
    code, out, err = run("train", *words, "--print-config")
    assert (code, err) == (0, "")
    return yaml.safe_load(out)


# ------------------------------------------------------------------------------------------------ help, and no torch


def test_help_and_mistakes_do_not_wait_for_torch():
    code = """
import sys
from ojito.cli import COMMANDS, main
assert main(["--help"]) == main([]) == main(["--version"]) == 0
for command in COMMANDS:
    assert main([command.name, "--help"]) == 0
assert main(["trian"]) == main(["train", "--stps", "3"]) == main(["train", "train.lrr=1"]) == 2
assert main(["train", "--print-config"]) == 0
slow = {"torch", "PIL", "numpy", "transformers", "tokenizers"} & set(sys.modules)
assert not slow, slow
"""
    done = start("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_needs_neither_yaml_nor_rich():
    code = "import sys, ojito.cli as c; c.main(['train', '--help']); assert not {'yaml', 'rich'} & set(sys.modules)"
    done = start("-c", code)
    assert done.returncode == 0, done.stderr


def test_overview_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")][: len(COMMANDS)] == [
        "demo",
        "train",
        "build",
        "caption",
        "ask",
        "detect",
        "segment",
        "eval",
        "convert",
        "info",
        "presets",
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_each_command_has_the_common_flags_and_an_example(run, command):
    code, out, err = run(command.name, "--help")
    assert (code, err) == (0, "")
    assert all(flag in out for flag in ("--json", "--device", "--seed", command.example))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_flag_says_what_it_does(command):
    assert all(argument.options.get("help") for argument in command.arguments)


def test_module_runs_as_the_command():
    done = start("-m", "ojito", "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "ojito")
    assert start("-m", "ojito", "nonsense").returncode == 2


# ------------------------------------------------------------------------------------------------- recipes, who wins


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


def test_preset_must_be_a_name(run, tmp_path):
    (tmp_path / "r.yaml").write_text("preset: [tiny]")
    code, _, err = run("train", "--config", tmp_path / "r.yaml")
    assert code == 2
    assert err.startswith("ojito: error: preset: ['tiny'] is not the name of a preset")


# ----------------------------------------------------------------------------------------------- from data to answers


def test_train_writes_a_folder_and_says_what_is_next(run, pictures, recipe, tmp_path):
    out = tmp_path / "mine"
    code, said, err = run("train", "--config", recipe, "--data", pictures, "--out", out)
    assert code == 0
    for file in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "processor.json",
        "recipe.yaml",
        "metrics.jsonl",
    ):
        assert (out / file).is_file()
    assert f"the model is in {out}" in said
    assert "on 2 questions of dev:" in said
    assert f"ojito caption {out} PICTURE" in said
    assert "micro" in err
    assert read_yaml(out / "recipe.yaml")["data"]["path"] == str(pictures)


def test_train_as_json_writes_json_alone(run, pictures, recipe, tmp_path):
    words = ("--data", pictures, "--out", tmp_path / "mine", "--json", "train.eval_every=2", "--seed", 5)
    code, said, err = run("train", "--config", recipe, *words)
    values = json.loads(said)
    assert code == 0
    assert (values["steps"], values["interrupted"], values["bad_rows"]) == (3, False, [])
    assert values["evaluation"]["n"] == 2
    assert "step 2:" in err  # the evaluation on the way


def test_train_without_a_dev_split_says_that_nothing_was_evaluated(run, pictures, recipe, tmp_path):
    words = ("--data", pictures, "--out", tmp_path / "mine", "data.eval_split=held")
    code, said, _ = run("train", "--config", recipe, *words)
    assert code == 0
    assert 'no row has split "held"' in said


def test_train_never_replaces_a_model_without_force(run, pictures, recipe, trained):
    before = (trained / "model.safetensors").read_bytes()
    words = ("train", "--config", recipe, "--data", pictures, "--out", trained, "--steps", 1, "--seed", 7)
    code, _, err = run(*words)
    assert code == 2
    assert "--force" in err
    assert err.count("\n") == 1
    assert (trained / "model.safetensors").read_bytes() == before


def test_force_replaces_the_model(run, pictures, recipe, tmp_path):
    words = ("train", "--config", recipe, "--data", pictures, "--out", tmp_path / "mine")
    run(*words)
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    assert run(*words, "--force", "--seed", 7)[0] == 0
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() != before


def test_seed_changes_the_weights_and_the_same_seed_does_not(run, pictures, recipe, tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(number)
        run("train", "--config", recipe, "--data", pictures, "--out", out, "--seed", seed, "--device", "cpu")
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_interrupted_training_saves_and_exits_with_130(run, pictures, recipe, tmp_path, monkeypatch):
    from ojito.data import Batches

    original, served = Batches.__next__, []

    def interrupted(self):
        served.append(1)
        if len(served) == 3:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Batches, "__next__", interrupted)
    code, said, _ = run("train", "--config", recipe, "--data", pictures, "--out", tmp_path / "mine", "--steps", 50)
    assert code == 130
    assert said.startswith("2 steps in")
    assert (tmp_path / "mine" / "model.safetensors").is_file()


def test_interrupt_before_the_first_step_saves_nothing(run, pictures, recipe, tmp_path, monkeypatch):
    from ojito.data import Batches

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, "__next__", interrupted)
    code, said, _ = run("train", "--config", recipe, "--data", pictures, "--out", tmp_path / "mine")
    assert code == 130
    assert "nothing was saved" in said
    assert not (tmp_path / "mine" / "model.safetensors").exists()


@pytest.mark.parametrize(("steps", "kept"), [(2, True), (0, False)])
@pytest.mark.parametrize("error", [TrainingError, DataError])
def test_training_that_fails_keeps_what_it_learned_but_not_in_place_of_a_model(
    run, pictures, recipe, tmp_path, monkeypatch, error, steps, kept
):
    from ojito.data import Batches

    words = ("train", "--config", recipe, "--data", pictures, "--out", tmp_path / "mine")
    run(*words)
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()

    original, served = Batches.__next__, []

    def fails(self):
        served.append(1)
        if len(served) > steps:
            raise error("it does not go on; mend it")
        return original(self)

    monkeypatch.setattr(Batches, "__next__", fails)
    code, _, err = run(*words, "--force", "--seed", 3)
    assert (code, (tmp_path / "mine" / "model.safetensors").read_bytes()) == (2, before)
    assert "ojito: error: it does not go on" in err
    served.clear()
    code, _, err = run(*words[:-1], tmp_path / "new")
    assert code == 2
    assert (tmp_path / "new" / "model.safetensors").is_file() is kept
    assert ("the last good weights are in" in err) is kept


def test_bad_rows_are_named_and_counted(run, pictures, recipe, tmp_path):
    for picture in pictures.glob("*.png"):
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    rows = (pictures / "captions.jsonl").read_text()
    (tmp_path / "captions.jsonl").write_text(rows + '\n{"image": "gone.png", "caption": "x"}')
    words = ("train", "--config", recipe, "--data", tmp_path, "--out", tmp_path / "mine")
    code, said, err = run(*words, "--json", "data.max_bad=0.2")
    assert code == 0
    assert "gone.png" in json.loads(said)["bad_rows"][0]
    code, _, err = run(*words, "--force")
    assert code == 2
    assert "1 of 9 rows are bad, more than data.max_bad=0.05" in err


def test_caption_of_one_picture_is_its_text(run, trained, pictures):
    code, said, _ = run("caption", trained, pictures / "0.png")
    assert code == 0
    assert said.count("\n") == 1
    assert "\t" not in said


def test_captions_of_several_pictures_are_a_line_each_in_their_order(run, trained, pictures):
    code, said, _ = run("caption", trained, pictures / "3.png", pictures, "--max-new-tokens", 3, "--batch-size", 2)
    assert code == 0
    expected = [pictures / "3.png", *(pictures / f"{i}.png" for i in range(8))]
    assert [line.split("\t")[0] for line in said.splitlines()] == [str(path) for path in expected]


def test_caption_does_not_depend_on_the_batch(run, trained, pictures):
    assert run("caption", trained, pictures, "--batch-size", 1)[1] == run("caption", trained, pictures)[1]


def test_captions_are_drawn_alike_in_any_batch_and_beside_broken_pictures(run, trained, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    drawn = ("--temperature", 5, "--seed", 3, "--max-new-tokens", 4)
    every = run("caption", trained, pictures, *drawn)[1]
    assert len({line.split("\t")[1] for line in every.splitlines()}) > 1
    for batch_size in (1, 3):
        assert (
            run("caption", trained, tmp_path / "broken.png", pictures, *drawn, "--batch-size", batch_size)[1] == every
        )


def test_caption_batch_size_is_how_many_are_read_at_once(run, trained, pictures, monkeypatch):
    sizes = []
    monkeypatch.setattr("ojito.pipeline.Processor.__call__", counting(Processor.__call__, sizes))
    run("caption", trained, *[pictures] * 5, "--max-new-tokens", 1, "--batch-size", 36)
    assert sizes == [36, 4]


def test_caption_as_json(run, trained, pictures):
    one = json.loads(run("caption", trained, pictures / "0.png", "--json", "--max-new-tokens", 2)[1])
    assert one["image"] == str(pictures / "0.png")
    assert one["tokens"] <= 2
    every = json.loads(run("caption", trained, pictures, "--json", "--max-new-tokens", 2)[1])
    assert every[0] == one
    assert len(every) == 8


def test_broken_picture_is_named_and_the_others_go_on(run, trained, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    paths = (pictures / "0.png", tmp_path / "broken.png", pictures / "1.png")
    code, said, err = run("caption", trained, *paths)
    assert code == 2
    assert len(said.splitlines()) == 2
    assert err.startswith(f"ojito: error: {tmp_path / 'broken.png'}: ")
    code, said, _ = run("caption", trained, *paths, "--json")
    assert code == 2
    assert ["error" in result for result in json.loads(said)] == [False, True, False]
    assert run("caption", trained, tmp_path / "broken.png", "--json")[0] == 2


def test_folder_without_pictures_is_named(run, trained, tmp_path):
    code, _, err = run("caption", trained, tmp_path)
    assert code == 2
    assert f"{tmp_path} holds no pictures" in err


def test_ask_answers_the_question(run, trained, pictures):
    code, said, _ = run("ask", trained, pictures / "0.png", "what is it?", "--max-new-tokens", 4)
    assert code == 0
    values = json.loads(run("ask", trained, pictures / "0.png", "what is it?", "--json", "--max-new-tokens", 4)[1])
    assert values["question"] == "what is it?"
    assert said == values["answer"] + "\n"


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        (("--max-new-tokens", 3), ("--max-new-tokens", 9)),
        (("--temperature", 5, "--seed", 1), ("--temperature", 5, "--seed", 2)),
        (("--temperature", 5), ("--temperature", 0)),
        (("--top-k", 1, "--temperature", 5), ("--top-k", 50, "--temperature", 5)),
        (("--top-p", 0.001, "--temperature", 5), ("--top-p", 1, "--temperature", 5)),
        (("--top-p", 1, "--top-k", 1, "--temperature", 5), ("--top-p", 1, "--temperature", 5)),
        (("--repetition-penalty", 1), ("--repetition-penalty", 100)),
    ],
)
def test_each_sampling_flag_changes_the_answer(run, trained, pictures, flags, other):
    words = ("ask", trained, pictures / "0.png", "what?", "--json")
    assert json.loads(run(*words, *flags)[1])["answer"] != json.loads(run(*words, *other)[1])["answer"]


def test_stop_ends_the_answer_before_its_text(run, trained, pictures):
    words = ("ask", trained, pictures / "0.png", "what?", "--json", "--temperature", 5)
    whole = json.loads(run(*words)[1])["answer"]
    values = json.loads(run(*words, "--stop", "never said", "--stop", whole[3:5])[1])
    assert values["finish"] == "stop"
    assert values["answer"] == whole[: whole.index(whole[3:5])]


def test_ask_without_a_question_answers_each_line_of_stdin(run, trained, pictures, monkeypatch):
    import io

    words = ("ask", trained, pictures / "0.png", "--max-new-tokens", 4)
    single = [json.loads(run(*words, question, "--json")[1]) for question in ("what?", "which colour?")]
    monkeypatch.setattr("sys.stdin", io.StringIO("what?\n\n  which colour?\n"))
    code, said, err = run(*words, "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in said.splitlines()] == single


def test_chat_reads_what_was_said_before_and_forgets_the_oldest(run, trained, pictures, monkeypatch):
    import io

    asked = []
    generate = Pipeline.generate

    def noting(pipe, samples, **options):
        asked.append([turn.prompt for turn in samples[0].dialogue])
        return generate(pipe, samples, **options)

    monkeypatch.setattr(Pipeline, "generate", noting)
    long = "xkqj " * 8  # bytes: no word that was learned
    monkeypatch.setattr("sys.stdin", io.StringIO(f"a?\nb?\n{long}\n{long}\n"))
    assert run("ask", trained, pictures / "0.png", "--max-new-tokens", 4, "--json", "--temperature", 5)[0] == 0
    assert asked[:3] == [["a?"], ["a?", "b?"], ["a?", "b?", long.strip()]]
    assert asked[3][-2:] == [long.strip()] * 2
    assert asked[3][0] != "a?"  # the model has 96 positions


def test_chat_on_a_terminal_shows_a_prompt_and_streams(run, trained, pictures, monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    words = ("ask", trained, pictures / "0.png", "--max-new-tokens", 4)
    answer = json.loads(run(*words, "what?", "--json")[1])["answer"]
    monkeypatch.setattr("sys.stdin", Terminal("what?\n"))
    code, said, err = run(*words)
    assert code == 0
    assert said == answer + "\n"
    assert err.count("> ") == 2
    assert "Ctrl-D ends" in err


def test_report_that_cannot_be_written_costs_no_scores(run, trained, pictures):
    words = ("eval", trained, pictures / "captions.jsonl", "--split", "dev", "--json")
    code, said, err = run(*words, "--report", pictures)  # a folder
    assert code == 2
    assert json.loads(said)["n"] == 2
    assert str(pictures) in err


def test_eval_scores_a_split_with_controls_and_baselines(run, trained, pictures):
    code, said, _ = run("eval", trained, pictures / "captions.jsonl", "--split", "dev", "--json")
    values = json.loads(said)
    assert code == 0
    assert (values["split"], values["n"]) == ("dev", 2)
    assert 0 <= values["overlap"] <= 1
    assert {"blank_image", "exchanged_image", "baselines"} <= set(values)
    assert values["baselines"]["constant"].startswith("a ")


def test_eval_without_a_split_takes_the_recipes(run, trained, pictures):
    assert json.loads(run("eval", trained, pictures, "--json")[1])["split"] == "dev"


def test_eval_takes_the_only_split_there_is(run, trained, pictures, tmp_path):
    row = {"image": str(pictures / "0.png"), "caption": "a red picture", "split": "only"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    assert json.loads(run("eval", trained, tmp_path / "rows.jsonl", "--json")[1])["split"] == "only"


def test_eval_limit_and_controls_can_be_chosen(run, trained, pictures):
    words = ("eval", trained, pictures, "--split", "train", "--limit", 3, "--no-controls")
    values = json.loads(run(*words, "--json")[1])
    assert values["n"] == 3
    assert "blank_image" not in values
    table = run(*words)[1]
    assert "3 questions" in table
    assert "exchanged" not in table


def test_eval_as_a_table_shows_each_kind(run, trained):
    code, said, _ = run("eval", trained, "scenes", "--limit", 10, "--max-new-tokens", 2)
    assert code == 0
    assert {"all", "caption", "where", "colour"} <= {line.split()[0] for line in said.splitlines() if line}


def test_eval_report_is_a_page_with_the_pictures(run, trained, pictures, tmp_path):
    code, _, err = run("eval", trained, pictures, "--report", tmp_path / "new" / "report.html")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert code == 0
    assert "report.html" in err
    assert page.count("data:image/png;base64,") == 2


def test_train_and_eval_read_real_photographs(run, data_folder, recipe, tmp_path):
    data = data_folder / "flickr8k_128" / "captions.jsonl"
    words = ("--data", data, "--out", tmp_path / "mine", "train.eval_samples=4", "processor.prompt.max_tokens=90")
    code, said, _ = run("train", "--config", recipe, *words, "--json")
    assert code == 0
    assert json.loads(said)["bad_rows"] == []
    assert json.loads(said)["evaluation"]["n"] == 4


@pytest.mark.parametrize(
    ("words", "handed"),
    [
        ((), {}),
        (("--preset", "scenes"), {"recipe": "scenes"}),
        (("--short", "--seed", 4), {"short": True, "seed": 4}),
        (("--minutes", 3, "--device", "cpu"), {"minutes": 3.0, "device": "cpu"}),
    ],
)
def test_demo_shows_its_scores_and_three_commands_to_try(run, monkeypatch, tmp_path, words, handed):
    from ojito import demo

    keys = ("exact_match", "exact_match_unseen_combinations", "exact_match_blank_image", "exact_match_exchanged_image")
    scores = {"train_seconds": 120.4, **{key: 0.1 * number for number, key in enumerate(keys, 1)}}
    got = {}

    def trained(out, *, say, **options):
        got.update(options, out=out)
        say("training")
        return scores

    monkeypatch.setattr(demo, "run", trained)
    code, said, err = run("demo", "--out", tmp_path / "d", *words)
    assert code == 0
    usual = {"recipe": "tiny", "minutes": 0.0, "short": False, "device": "auto", "seed": 0}
    assert got == {**usual, **handed, "out": tmp_path / "d"}
    assert err == "training\n"
    assert all(f"{share:.1%}" in said for share in (0.1, 0.2, 0.3, 0.4))
    assert str(tmp_path / "d" / "report.html") in said
    assert sum(line.startswith("  ojito ") for line in said.splitlines()) == 3
    assert json.loads(run("demo", "--json", *words)[1]) == scores


def test_info_of_a_folder_counts_parts_and_lists_files(run, trained):
    code, said, _ = run("info", trained, "--json")
    values = json.loads(said)
    parts = values["parameters"]
    assert code == 0
    assert parts["total"] == parts["vision"] + parts["connector"] + parts["decoder"]
    assert values["image_tokens"] == 4
    assert values["bytes"]["weights"] == {"float32": 4 * parts["total"], "bfloat16": 2 * parts["total"]}
    assert values["files"]["model.safetensors"] == (trained / "model.safetensors").stat().st_size
    table = run("info", trained)[1]
    assert all(word in table for word in ("micro", "vision", "ViT, 1 layer,", "training", "model.safetensors"))


def test_info_of_a_large_preset_needs_no_memory(run):
    values = json.loads(run("info", "paligemma2-28b", "--json")[1])
    assert values["parameters"]["total"] > 27e9
    assert values["files"] == {}


def test_presets_are_listed_with_their_size(run):
    from ojito.presets import PRESETS

    rows = json.loads(run("presets", "--json")[1])
    assert [row["name"] for row in rows] == list(PRESETS)
    assert all(row["parameters"] > 0 and row["image_tokens"] > 0 and row["about"] for row in rows)
    table = run("presets")[1]
    assert len(table.splitlines()) == len(PRESETS) + 1
    assert "222M" in next(line for line in table.splitlines() if line.startswith("nanovlm-222m"))


def test_untrained_preset_says_so(run, pictures):
    code, said, err = run("caption", "tiny", pictures / "0.png", "--max-new-tokens", 1)
    assert code == 0
    assert "its weights are random" in err
    assert "random" not in said


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "'trian' is not a command; did you mean train?"),
        ("zzz", "'zzz' is not a command; choose from demo, train, build, caption"),
        ("train --stps 3", "train does not take '--stps'; did you mean --steps?"),
        ("train --steps=x", "invalid int value: 'x'; see `ojito train --help`"),
        ("train --steps", "expected one argument"),
        ("train steps", "steps: is not a setting; write key=value"),
        ("train --preset tny", "did you mean tiny?"),
        ("train --config missing.yaml", "missing.yaml: cannot be read (No such file or directory)"),
        ("train train.lrr=1", "train.lrr: unknown setting; did you mean lr?"),
        ("train model.decoder.heads=7", "is not divisible by heads 7"),
        ("train --steps 0", "leave no training"),
        ("train --data missing --out {tmp}/x", "missing does not exist; check the path"),
        ("train --device tpu --out {tmp}/x", "device 'tpu' is not one of auto, cpu"),
        ("caption {model}", "the following arguments are required: IMAGE"),
        ("caption missing a.png", "'missing' is neither a folder nor a preset"),
        ("caption {tmp} a.png", "has no config.json"),
        ("caption {model} missing.png", "missing.png: does not exist"),
        ("caption {model} {tmp}", "holds no pictures"),
        ("caption {model} a.png --batch-size 0", "--batch-size 0"),
        ("ask {model} missing.png what", "missing.png: does not exist"),
        ("ask {model} {pictures}/0.png what now", "ask does not take 'now'"),
        ("ask {model} {pictures}/0.png what --top-p 2", "p=2.0 must be greater than 0 and at most 1"),
        ("ask {model} {pictures}/0.png what --temperature -1", "temperature"),
        ("ask {model} {pictures}/0.png what --max-new-tokens 0", "max_new_tokens=0"),
        ("eval {model} missing", "missing does not exist"),
        ("eval {model} {pictures} --split tset", "no split 'tset'; it has train (6), dev (2)"),
        ("eval {model} {pictures} --limit 0", "--limit 0"),
        ("info missing", "'missing' is neither a folder nor a preset"),
        ("presets now", "presets does not take 'now'"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(run, trained, pictures, tmp_path, words, said):
    code, out, err = run(*words.format(model=trained, pictures=pictures, tmp=tmp_path).split())
    assert (code, out) == (2, "")
    assert err.startswith("ojito: error: ")
    assert err.count("\n") == 1
    assert said in err


def test_debug_shows_where_a_mistake_comes_from(monkeypatch):
    monkeypatch.setenv("OJITO_DEBUG", "1")
    with pytest.raises(ConfigError, match="unknown setting"):
        main(["train", "train.lrr=1"])


def test_error_from_another_library_is_a_bug_and_keeps_its_traceback(monkeypatch):
    import ojito.commands.train

    monkeypatch.setattr(ojito.commands.train, "recipe", lambda args: json.loads("{"))
    with pytest.raises(ValueError, match="Expecting property name"):
        main(["train"])


def test_interrupt_is_exit_code_130(run, monkeypatch):
    import ojito.commands.presets

    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ojito.commands.presets, "run", interrupt)
    assert run("presets") == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, ojito.cli as c; sys.exit(c.main(['train', '--print-config'] + ['a'] * 0))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    process.stdout.close()  # before anything is written
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
