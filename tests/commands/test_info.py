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


@pytest.mark.parametrize(("words", "said"), [("info missing", "'missing': is neither a folder nor a preset")])
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, words, said):
    assert said in refused(*words.split())
