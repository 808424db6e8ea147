"""`ojito trace`: the table, the JSON, the drawing, and mistakes."""

import json
import os
import sys
from xml.etree import ElementTree

import pytest

from ojito.memory import parameters
from ojito.pipeline import Pipeline


def test_trace_tells_shapes_parameters_and_next_words(run, model, photo, pipe):
    code, said, err = run("trace", model, photo, "what is it?", "--device", "cpu")
    assert (code, err) == (0, "")
    head, *lines = said.splitlines()
    assert head.startswith("toy: ")
    assert "image   80 x 40 pixels -> pixels (1, 3, 16, 16)" in lines
    assert any(line.startswith('words   "what is it?" -> ') and "and 4 placeholders" in line for line in lines)
    assert any(line.startswith("tokens  <image> x 4, ") for line in lines)
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert rows["vision"].split()[1:9] == ["ViT", "(1,", "3,", "16,", "16)", "(1,", "4,", "32)"]
    assert "(1, 4, 32) " in rows["merge"]
    assert rows["blocks"].startswith("  blocks 0 ")
    assert rows["next"].count("%") == 5


def test_columns_of_the_table_are_aligned(run, model, photo):
    lines = run("trace", model, photo, "what?", "--depth", 3)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("module"))
    table = lines[start : lines.index("", start)]
    assert len({len(line) for line in table}) == 1
    column = table[0].index("output")
    assert all(line[column - 1] == " " and line[column] in "o(-" for line in table)


def test_trace_as_json_is_the_whole_trace(run, model, photo, pipe):
    code, said, _ = run("trace", model, photo, "what is it?", "--json")
    found = json.loads(said)
    assert code == 0
    assert found["parameters"] == parameters(pipe.model)
    assert [step["name"] for step in found["steps"]] == ["vision", "connector", "merge", "decoder"]
    assert found["pixels"] == [1, 3, 16, 16]
    assert found["image_tokens"] == 4
    assert len(found["likeliest"]) == 5


def test_depth_opens_levels_of_modules(run, model, photo):
    said = [run("trace", model, photo, "what?", "--depth", depth)[1] for depth in (1, 2, 3)]
    assert ["  stem" in one for one in said] == [False, True, True]
    assert ["    attention" in one for one in said] == [False, False, True]
    assert run("trace", model, photo, "what?")[1].count("\n") == said[1].count("\n")


def test_dtype_and_form_of_the_weights_are_told(run, model, photo):
    exact = run("trace", model, photo, "a", "--dtype", "float32", "--depth", "4")[1]
    small = run("trace", model, photo, "a", "--dtype", "bfloat16", "--quantize", "int8", "--depth", "4")[1]
    assert ["bfloat16" in said for said in (exact, small)] == [False, True]
    assert ["QuantizedLinear" in said for said in (exact, small)] == [False, True]


def test_trace_without_an_image_takes_the_word_for_the_prompt(run, model):
    code, said, _ = run("trace", model, "what is it?", "--no-image")
    assert code == 0
    assert 'words   "what is it?" -> ' in said
    assert "placeholders" not in said
    assert "pixels" not in said


def test_trace_without_a_prompt_asks_for_a_caption(run, model, photo):
    code, said, _ = run("trace", model, photo)
    assert code == 0
    assert "a caption is asked for" in said


def test_svg_alone_draws_a_preset_without_its_weights(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Pipeline, "__init__", None)  # no model is made
    out = tmp_path / "large.svg"
    code, said, err = run("trace", "paligemma2-28b", "--svg", out)
    assert (code, said) == (0, "")
    assert err.endswith(f"ojito: the architecture is drawn in {out}\n")
    text = out.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "paligemma2-28b" in text
    assert json.loads(run("trace", "tiny", "--svg", out, "--json")[1]) == {"svg": str(out)}


def test_svg_of_a_folder_is_drawn_from_its_config(run, model, tmp_path, photo):
    (model / "model.safetensors").rename(tmp_path / "elsewhere")
    run("trace", model, "--svg", tmp_path / "a.svg")
    (tmp_path / "elsewhere").rename(model / "model.safetensors")
    code, said, _ = run("trace", model, photo, "what?", "--svg", tmp_path / "b.svg")
    assert code == 0
    assert "module" in said
    assert ">toy<" in (tmp_path / "b.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "trace needs an image; name one after the model, or say --no-image or --svg FILE"),
        (("{photo}", "what?", "--no-image"), "asks without an image, and "),
        (("{photo}", "what?", "--svg", "drawing.png"), "--svg drawing.png: is no SVG; end it in .svg"),
        (("--svg", "/no/such/folder/a.svg"), "which is no folder; choose another name"),
        (("{photo}", "what?", "--depth", "0"), "0 must be greater than 0"),
        (("{photo}", "x" * 999), "tokens"),
        (("missing.jpg", "what?"), "missing.jpg: does not exist"),
        (("{photo}", "what?", "--max-pixels", "5"), "raise --max-pixels"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_line(refused, model, photo, words, says):
    assert says in refused("trace", model, *(word.format(photo=photo) for word in words))


def test_unknown_preset_is_named(refused, tmp_path):
    assert "did you mean tiny?" in refused("trace", "tinny", "--svg", tmp_path / "a.svg")


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_is_named(refused, tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in refused("trace", "tiny", "--svg", tmp_path / "a.svg")
