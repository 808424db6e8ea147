"""`ojito compare` on what `ojito eval` wrote."""

import json


def test_evaluations_are_compared(run, trained, images, tmp_path):
    for name in ("a", "b"):
        assert run("eval", trained, images, "--split", "train", "--no-controls", "--out", tmp_path / name)[0] == 0
    code, said, err = run("compare", tmp_path / "a", tmp_path / "b")
    assert (code, err) == (0, "")
    assert "6 questions of both\n" in said
    assert "may be chance" in said
    values = json.loads(run("compare", tmp_path / "a", tmp_path / "b", "--json")[1])
    assert (values["n"], values["won"], values["scores"]["cider"]["p"]) == (6, 0, 1)
    assert set(
        json.loads(run("compare", tmp_path / "a", tmp_path / "b", "--metrics", "bleu_1", "--json")[1])["scores"]
    ) == {"bleu_1"}


def test_questions_that_were_won_are_shown(run, trained, images, tmp_path):
    run("eval", trained, images, "--no-controls", "--out", tmp_path / "a")
    path = tmp_path / "a" / "predictions.jsonl"
    lines = [{**json.loads(line), "right": True, "answer": "surely"} for line in path.read_text().splitlines()]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "predictions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = run("compare", tmp_path / "b", path)[1]
    assert "right in A, wrong in B: 2\n  captions.jsonl:7, caption: A 'surely', B " in said


def test_mistakes_are_told(refused, tmp_path):
    assert "predictions.jsonl: cannot be read" in refused("compare", tmp_path, tmp_path)
    assert "'x' is not one of exact_match" in refused("compare", tmp_path, tmp_path, "--metrics", "x")


def test_page_shows_both_runs(run, trained, images, tmp_path):
    for name in ("a", "b"):
        run("eval", trained, images, "--split", "train", "--no-controls", "--out", tmp_path / name)
    words = ("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "new" / "page.html")
    code, said, err = run(*words, "--json")
    assert (code, json.loads(said)["n"]) == (0, 6)
    assert err == f"ojito: both runs are side by side in {tmp_path / 'new' / 'page.html'}\n"
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert html.count("<article") == html.count('src="data:image/') == 6
    assert f"A is {tmp_path / 'a'}. B is {tmp_path / 'b'}." in html
    run(*words, "--limit", 2)
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").count("<article") == 2


def test_page_that_cannot_be_written_is_told_first(refused, tmp_path):
    assert "is a folder; give a file" in refused("compare", "a", "b", "--out", tmp_path)
    assert "is of a page, and none is written; add --out compare.html" in refused("compare", "a", "b", "--limit", 3)
