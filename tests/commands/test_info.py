"""`ojito info`: parameters, memory and files of a folder or a preset."""

import json

import pytest


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


def test_info_foretells_the_memory_of_answers(run, trained):
    values = json.loads(run("info", trained, "--json", "--batch", 3, "--dtype", "bfloat16")[1])
    answer = values["answer"]
    asked = {name: answer[name] for name in ("dtype", "quantize", "batch", "prompt", "tokens")}
    assert asked == {"dtype": "bfloat16", "quantize": "none", "batch": 3, "prompt": 4 + 8, "tokens": 20}
    sizes = answer["bytes"]
    assert sizes["weights"] == values["bytes"]["weights"]["bfloat16"]
    assert sizes["peak"] == sum(sizes[name] for name in ("weights", "kernels", "cache", "activations", "baseline"))
    table = run("info", trained, "--batch", 3)[1]
    assert "answering 3 questions at once of 12 tokens with 20" in table
    assert "peak" in table


def test_info_of_a_quantized_folder_says_so(run, refused, trained, tmp_path):
    assert run("convert", trained, "--quantize", "int8", "--out", tmp_path / "small")[0] == 0
    said = run("info", tmp_path / "small")[1]
    assert ", matrices in int8\n" in said
    assert "training" not in said  # which it cannot do
    as_asked = json.loads(run("info", trained, "--json", "--quantize", "int8")[1])["answer"]
    answer = json.loads(run("info", tmp_path / "small", "--json", "--quantize", "int8")[1])["answer"]
    assert answer["quantize"] == as_asked["quantize"] == "int8"
    assert answer["bytes"]["weights"] == as_asked["bytes"]["weights"]
    assert "is in int8 already" in refused("info", tmp_path / "small", "--quantize", "int4")


@pytest.mark.parametrize(
    ("flag", "value", "part"),
    [("--batch", 2, "cache"), ("--tokens", 30, "cache"), ("--prompt-tokens", 20, "cache"),
     ("--quantize", "int8", "weights"), ("--quantize", "int4", "weights"), ("--dtype", "bfloat16", "activations")],
)  # fmt: skip
def test_each_flag_changes_what_is_foretold(run, trained, flag, value, part):
    words = ("info", trained, "--json") + (() if flag == "--dtype" else ("--dtype", "float32"))
    base = json.loads(run("info", trained, "--json", "--dtype", "float32")[1])["answer"]["bytes"]
    assert json.loads(run(*words, flag, value)[1])["answer"]["bytes"][part] != base[part]


def test_info_foretells_the_memory_of_a_training_step(run, trained):
    step = json.loads(run("info", trained, "--json", "--train", "--batch", 6)[1])["step"]
    assert (step["batch"], step["micro_batch"], step["length"], step["labels"]) == (6, 6, 4 + 24 + 40, 40)
    assert step["bytes"]["peak"] == sum(size for name, size in step["bytes"].items() if name != "peak")
    table = run("info", trained, "--train", "train.freeze=[vision]", "train.checkpoint=[decoder]", "--batch", 6)[1]
    assert "a training step with 6 rows of 68 tokens, 40 of them learned (" in table
    assert "vision frozen; decoder computed anew" in table
    assert "answering" not in table


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--batch", 16], "step"),
        (["--tokens", 60], "step"),
        (["--prompt-tokens", 30], "step"),
        (["train.freeze=[vision]"], "optimizer"),
        (["train.accumulate=2"], "step"),
    ],
)
def test_each_flag_and_setting_changes_what_is_foretold_of_training(run, trained, words, part):
    base = json.loads(run("info", trained, "--json", "--batch", 8, "--train")[1])["step"]["bytes"]
    settings = [word for word in words if "=" in str(word)]
    flags = [word for word in words if "=" not in str(word)]
    said = run("info", trained, "--json", *(flags or ["--batch", 8]), "--train", *settings)[1]
    assert json.loads(said)["step"]["bytes"][part] != base[part]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("info tiny --train train.nothing=1", "nothing"),
        ("info tiny --train --batch 3 train.accumulate=2", "info does not take 'train.accumulate=2'"),
        ("info tiny --train train.accumulate=2 --batch 3", "accumulate"),
        ("info tiny --train --tokens 2000", "2033 tokens of image, question and answer are more than the 1024"),
        ("info minimal-resnet --train train.checkpoint=[vision] --batch 1", "batch norms would count twice"),
        ("missing:int8 --train", "cannot be trained"),
    ],
)
def test_training_that_cannot_be_foretold_is_one_line(refused, run, trained, tmp_path, words, said):
    if words.startswith("missing:int8"):
        assert run("convert", trained, "--quantize", "int8", "--out", tmp_path / "small")[0] == 0
        words = f"info {tmp_path / 'small'} --train"
    assert said in refused(*words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("info missing", "'missing': is neither a folder nor a preset"),
        ("info tiny --tokens 2000", "2008 of question and answer are more than the 1015 positions after the image"),
        ("info tiny --batch 0", "argument --batch: 0 must be greater than 0"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, words, said):
    assert said in refused(*words.split())


def test_info_of_an_adapter_says_what_it_is_and_for_which_model(run, adapter, trained):
    code, said, _ = run("info", adapter)
    assert code == 0
    assert "tuned: " in said
    assert f"an adapter of LoRA for {trained}: " in said
    assert "rank 2 in 7 layers, and connector in full" in said
    values = json.loads(run("info", adapter, "--json")[1])
    assert (values["adapter"]["rank"], values["adapter"]["layers"]) == (2, 7)
    assert (values["adapter"]["whole"], values["adapter"]["base"]) == (["connector"], str(trained))
    assert "adapter" not in json.loads(run("info", trained, "--json")[1])


def test_info_takes_the_base_of_an_adapter(run, moved, trained):
    assert run("info", moved)[0] == 2
    assert f"an adapter of LoRA for {trained}: " in run("info", moved, "--base", trained)[1]
