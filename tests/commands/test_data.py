"""`ojito data`: what was understood, as a table, as JSON and as a page."""

import json

import pytest
from PIL import Image


def test_table_says_form_splits_and_reading(run, images):
    code, said, _ = run("data", images)
    assert code == 0
    for words in (
        "JSON Lines, 8 rows",
        "8 captions of 8 images",
        "train        6",
        "dev          2",
        "captions.jsonl:",
    ):
        assert words in said


def test_json_has_the_numbers_and_examples(run, images):
    code, said, _ = run("data", images / "captions.jsonl", "--json", "--examples", 2)
    values = json.loads(said)
    assert code == 0
    assert (values["total"], values["images"], values["bad"]) == (8, 8, 0)
    assert len(values["examples"]) == 2
    assert values["examples"][0]["turns"][0]["answers"][0].endswith("image")


def test_bad_rows_are_counted_and_not_refused(run, images, tmp_path):
    row = json.dumps({"image": str(images / "0.png"), "caption": "x"})
    (tmp_path / "rows.jsonl").write_text("\n".join([row, "{", "{", row]))
    code, said, _ = run("data", tmp_path / "rows.jsonl")
    assert code == 0
    assert "bad rows            2 of 4" in said


def test_images_far_from_square_are_noted_with_a_remedy_for_a_new_model(run, images, trained, tmp_path):
    Image.new("RGB", (90, 30)).save(tmp_path / "wide.png")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"image": "wide.png", "caption": "x"}))
    noted = "note: the aspect ratio of the images is 3.0 (median): squashed"
    for words, side in ([], 48), (["--preset", "char"], 96):
        _, said, _ = run("data", tmp_path / "rows.jsonl", *words)
        assert noted in said
        assert f"processor.image.longest_side={3 * side} " in said
    _, said, _ = run("data", tmp_path / "rows.jsonl", "--model", trained)
    assert noted in said
    assert "longest_side" not in said
    assert "aspect" not in run("data", images)[1]
    values = json.loads(run("data", tmp_path / "rows.jsonl", "--json")[1])
    assert values["aspect"] == 3
    assert len(values["notes"]) == 1


@pytest.mark.parametrize("words", [["--preset", "tiny"], ["--model"]])
def test_page_shows_the_tokens_of_a_model_or_a_preset(run, images, trained, tmp_path, words):
    words = [*words, trained] if words == ["--model"] else words
    code, _, noted = run("data", images, "--html", tmp_path / "new" / "data.html", "--examples", 3, *words)
    text = (tmp_path / "new" / "data.html").read_text()
    assert code == 0
    assert "data.html" in noted
    assert text.count("<img") == 3
    assert 'class="learned"' in text


def test_page_without_a_model_has_no_tokens(run, images, tmp_path):
    run("data", images, "--html", tmp_path / "data.html")
    assert 'class="tokens"' not in (tmp_path / "data.html").read_text()


def test_seed_and_preset_change_output(run, tmp_path, images):
    rows = [{"image": str(images / "0.png"), "question": f"is it {n}?", "answer": "yes"} for n in range(9)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "rows.jsonl"
    assert "read blind to each other" in run("data", path)[1]
    assert "each asked apart" in run("data", path, "--preset", "char")[1]
    said = {run("data", path, "--preset", "char", "--seed", seed)[1] for seed in (1, 2, 3)}
    assert len(said) > 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "missing"], "missing: does not exist"),
        (["data", "scenes"], "scenes: are drawn, and have no rows to show"),
        (["data", "{images}", "--preset", "tinny"], "'tinny': is neither a folder nor a preset; did you mean tiny?"),
        (["data", "{images}", "--model", "tiny"], "--model tiny: is a preset; write --preset tiny"),
        (["data", "{images}", "--model", "a", "--preset", "b"], "--model a and --preset b are two models"),
        (["data", "{images}", "--examples", "-1"], "--examples -1: is less than none"),
    ],
)
def test_mistake_is_one_line(refused, images, words, said):
    assert said in refused(*(word.format(images=images) for word in words))
