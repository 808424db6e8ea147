"""`ojito eval`: which split it scores, with which controls, and what it writes."""

import json
import re

import pytest

from ojito.evaluate.comparison import compare_expectations
from ojito.evaluate.journal import Journal
from ojito.generate import Scheduler
from ojito.pipeline import Pipeline


def test_eval_scores_a_split_with_controls_and_baselines(run, trained, images):
    code, said, _ = run("eval", trained, images / "captions.jsonl", "--split", "dev", "--json")
    values = json.loads(said)
    assert code == 0
    assert (values["split"], values["n"]) == ("dev", 2)
    assert 0 <= values["overlap"] <= 1
    assert {"blank_image", "exchanged_image", "baselines"} <= set(values)
    assert values["baselines"]["constant"].startswith("a ")


def test_eval_without_a_split_takes_the_recipes(run, trained, images):
    assert json.loads(run("eval", trained, images, "--json")[1])["split"] == "dev"


def test_eval_says_first_of_all_when_the_rows_were_learned(run, trained, images):
    words = ("eval", trained, images, "--no-controls")
    learned = "all 6 rows were learned in training: this score says what the model has by heart, not what it sees\n"
    assert run(*words, "--split", "train")[1].startswith(learned)
    assert run(*words)[1].startswith("all 2 rows were not in training: the model has never seen the images\n")
    _, said, err = run(*words, "--split", "train", "--json")
    assert json.loads(said)["rows"] == {"rows": 6, "learned": 6, "held_out": False}
    assert err.startswith(learned)


def test_settings_of_data_can_follow(run, trained, images, tmp_path):
    good, bad = ({"image": str(images / name), "caption": "a red image"} for name in ("0.png", "gone.png"))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [good, bad])))
    words = ("eval", trained, tmp_path / "rows.jsonl", "--no-controls")
    code, _, err = run(*words)
    assert code == 2
    assert "1 of 2 rows are bad, more than data.max_bad=0.05 allows" in err
    assert run(*words, "data.max_bad=0.5", "--json")[0] == 0
    assert "train.lr" not in run(*words, "train.lr=1")[2]


def test_limit_of_pixels_can_be_set(run, refused, trained, images):
    words = ("eval", trained, images, "--no-controls")
    _, said, err = run(*words, "processor.image.max_pixels=530")  # one has 26 x 20 pixels, the other 27 x 20
    assert "1 questions" in said
    assert "raise processor.image.max_pixels" in err
    assert "2 questions" in run(*words, "processor.image.max_pixels=540")[1]
    assert "processor.image.max_pixels: 0 must be greater than 0" in refused(*words, "processor.image.max_pixels=0")


def test_answers_that_were_cut_are_counted(run, trained, images):
    words = ("eval", trained, images, "--no-controls")
    assert (
        "2 of 2 answers were cut off at 1 tokens; raise it with --max-new-tokens"
        in run(*words, "--max-new-tokens", 1)[1]
    )
    assert json.loads(run(*words, "--max-new-tokens", 1, "--json")[1])["cut"] == 2


def test_eval_writes_answers_scores_and_report_into_a_folder(run, trained, images, tmp_path):
    code, said, err = run("eval", trained, images, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert f"all answers, scores and the report are in {tmp_path / 'out'}" in err
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == json.loads(said)
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == ["captions.jsonl:7", "captions.jsonl:8"]
    assert rows[0]["image"] == str(images / "6.png")
    assert rows[0]["blank"] is not None
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert '<p class="notice">All 2 rows were not in training: the model has never seen the images.</p>' in html
    assert {"at_chance", "confusion"} <= set(json.loads(said))


def test_folder_that_cannot_take_the_answers_is_named_before_anything_is_asked(refused, trained, images):
    said = refused("eval", trained, images, "--out", images / "0.png")
    assert "0.png: cannot take the answers" in said


def test_kinds_at_chance_are_said(run, trained):
    said = run("eval", trained, "scenes", "--limit", 200, "--max-new-tokens", 1, "--no-controls")[1]
    assert "at chance, so that nothing shows that it looks: exists: 0%, no better than " in said


def test_eval_draws_its_rows_by_seed(run, trained, images):
    words = ("eval", trained, images, "--split", "train", "--limit", 2, "--no-controls", "--out")
    drawn = []
    for seed in range(4):
        run(*words, images.parent / "drawn", "--seed", seed)
        lines = (images.parent / "drawn" / "predictions.jsonl").read_text().splitlines()
        drawn.append(tuple(json.loads(line)["row"] for line in lines))
    assert len(set(drawn)) > 1


def test_eval_takes_the_only_split_there_is(run, trained, images, tmp_path):
    row = {"image": str(images / "0.png"), "caption": "a red image", "split": "only"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    assert json.loads(run("eval", trained, tmp_path / "rows.jsonl", "--json")[1])["split"] == "only"


def test_eval_limit_and_controls_can_be_chosen(run, trained, images):
    words = ("eval", trained, images, "--split", "train", "--limit", 3, "--no-controls")
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


def test_eval_report_is_a_page_with_the_images(run, trained, images, tmp_path):
    code, _, err = run("eval", trained, images, "--report", tmp_path / "new" / "report.html")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert code == 0
    assert "report.html" in err
    assert page.count("data:image/png;base64,") == 2


def test_report_that_cannot_be_written_costs_no_scores(run, trained, images):
    words = ("eval", trained, images / "captions.jsonl", "--split", "dev", "--json")
    code, said, err = run(*words, "--report", images)  # a folder
    assert code == 2
    assert json.loads(said)["n"] == 2
    assert str(images) in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("eval {model} missing", "missing: does not exist"),
        ("eval {model} {images} --split tset", "no split 'tset'; it has train (6), dev (2)"),
        ("eval {model} {images} --limit 0", "--limit 0"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, trained, images, words, said):
    assert said in refused(*words.format(model=trained, images=images).split())


def test_eval_with_beams_searches_and_says_so(run, trained, images, tmp_path):
    words = ("eval", trained, images, "--no-controls")
    plain = json.loads(run(*words, "--json")[1])
    assert "beams" not in plain
    searched = json.loads(run(*words, "--beams", "3", "--length-penalty", "0.5", "--json")[1])
    assert (searched["beams"], searched["length_penalty"]) == (3, 0.5)
    assert ", 3 beams" in run(*words, "--beams", "3", "--report", tmp_path / "report.html")[1]
    assert ", 3 beams" in (tmp_path / "report.html").read_text()


def test_eval_hands_on_beams_and_length_penalty(run, trained, images, monkeypatch):
    given = []
    known = Scheduler.submit

    def spy(self, batch, options, *others):
        given.append(options)
        return known(self, batch, options, *others)

    monkeypatch.setattr(Scheduler, "submit", spy)
    run("eval", trained, images, "--no-controls", "--beams", "3", "--length-penalty", "0.5")
    assert {(one.beams, one.length_penalty) for one in given} == {(3, 0.5)}


def test_eval_refuses_a_length_penalty_without_beams_before_it_loads(run):
    code, _, said = run("eval", "nowhere", "photos16", "--length-penalty", "0.5")
    assert code == 2
    assert "length_penalty" in said


def test_compare_tells_how_a_quantized_model_differs(run, trained, images):
    words = ("eval", trained, images, "--no-controls", "--quantize", "int8", "--compare", trained)
    code, said, err = run(*words)
    assert (code, err) == (0, "")
    assert f"\n{trained} in int8 on " in said
    assert re.search(rf"\n{re.escape(str(trained))} in int8 +0.0%  \d+\.\d{{4}} \([+-]\d", said)
    assert re.search(rf"\n{re.escape(str(trained))} in (b?float\d+) +0.0%  \d+\.\d{{4}}\n", said)
    assert "of the answers are the same" in said
    values = json.loads(run(*words, "--json")[1])
    assert values["form"] == "int8"
    values = values["compared"]
    assert (values["model"], values["form"] in ("float32", "bfloat16")) == (str(trained), True)
    assert 0.9 < values["cosine"] <= 1


def test_compare_reads_the_rows_that_were_asked(run, trained, images, tmp_path, monkeypatch):
    said = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}] * 2
    row = {"image": str(images / "0.png"), "messages": said}  # a conversation, whose turns read each other
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    asked, compared, generate_each = [], [], Pipeline.generate_each

    def listening(pipe, samples, *args, **options):
        rows = [*samples]
        asked.extend(rows)
        return generate_each(pipe, rows, *args, **options)

    monkeypatch.setattr(Pipeline, "generate_each", listening)
    monkeypatch.setattr(
        "ojito.commands.eval.compare_expectations",
        lambda pipe, other, samples, **o: compared.extend(samples) or compare_expectations(pipe, other, samples, **o),
    )
    assert run("eval", trained, tmp_path / "rows.jsonl", "--no-controls", "--compare", trained)[0] == 0
    assert compared
    assert all(one.chat for one in compared)
    assert all(one in asked for one in compared)


def test_model_to_compare_with_is_loaded_before_anything_is_asked(run, trained, images, monkeypatch):
    monkeypatch.setattr(Scheduler, "submit", lambda *args, **options: pytest.fail("asked"))
    code, _, err = run("eval", trained, images, "--compare", "no-such-model")
    assert code == 2
    assert "'no-such-model': is neither a folder nor a preset" in err


def test_eval_tells_published_scores_with_intervals_and_gaps(run, trained, images):
    code, said, _ = run("eval", trained, images, "--split", "train")
    assert code == 0
    assert re.search(
        r"\n +score  95% interval +above blank +above exchanged\ncider +\d\.\d{3}  \d\.\d{3} to \d\.\d{3} ", said
    )
    values = json.loads(run("eval", trained, images, "--split", "train", "--json")[1])["metrics"]
    assert set(values) == {"cider", "bleu_4", "rouge_l", "overlap"}
    assert values["cider"]["low"] <= values["cider"]["score"] <= values["cider"]["high"]
    assert set(values["cider"]["above_blank"]) == {"difference", "low", "high", "p"}


def test_scores_can_be_named(run, refused, trained, images):
    values = json.loads(run("eval", trained, images, "--no-controls", "--metrics", "anls, bleu_1", "--json")[1])
    assert set(values["metrics"]) == {"anls", "bleu_1"}
    assert "metrics: 'cidre' is not one of" in refused("eval", trained, images, "--metrics", "cidre")


def test_controls_can_be_named_and_tell_their_loss(run, refused, trained, images):
    words = ("eval", trained, images, "--split", "train")
    code, said, _ = run(*words, "--controls", "all")
    assert code == 0
    lines = said.splitlines()
    at = next(i for i, line in enumerate(lines) if "loss above that with the image" in line)
    assert [line.split()[0] for line in lines[at + 1 : at + 8]] == [
        "the", "blank", "exchanged", "none", "half", "shuffled", "blurred",
    ]  # fmt: skip
    values = json.loads(run(*words, "--controls", "half, none", "--json")[1])
    assert set(values["grounding"]) == {"seen", "none", "half"}
    assert values["half_image"]["n"] == 6
    assert "blank_image" not in values
    assert "'shufled' is not one of" in refused(*words, "--controls", "shufled")
    assert "exclude each other" in refused(*words, "--controls", "all", "--no-controls")


def test_interrupted_evaluation_goes_on(run, trained, images, tmp_path, monkeypatch):
    words = ("eval", trained, images, "--split", "train", "--out", tmp_path / "out", "--json")
    exact, count = Journal.put, []

    def put(self, *values):
        exact(self, *values)
        count.append(values)
        if len(count) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "put", put)
    assert run(*words)[0] == 130
    assert (tmp_path / "out" / "answers.partial.jsonl").is_file()
    code, said, err = run(*words)
    assert code == 0
    assert "goes on after 4 answers that an interrupted run left" in err
    assert not (tmp_path / "out" / "answers.partial.jsonl").exists()
    assert json.loads(said) == json.loads(run(*words)[1])
    assert "goes on" not in run(*words, "--seed", 1)[2]


@pytest.fixture
def questions(images, tmp_path):
    """Questions of two kinds; the last four are the dev split."""
    rows = []
    for number in range(8):
        split = "dev" if number >= 4 else "train"
        about = {"image": str(images / f"{number}.png"), "split": split}
        rows.append({**about, "question": "what color?", "answer": "red", "kind": "color"})
        rows.append({**about, "question": "is it red?", "answer": "yes" if number % 4 else "no", "kind": "is"})
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "questions.jsonl"


def test_eval_tells_each_kind_and_what_is_had_without_looking(run, trained, questions, tmp_path):
    words = ("eval", trained, questions, "--split", "dev", "--max-new-tokens", "2")
    code, said, _ = run(*words, "--out", tmp_path / "out")
    assert code == 0
    assert re.search(r"\nkind +n  score \(95%\) +above blank +above exchanged +above question prior\ncolor +4  ", said)
    assert re.search(r'\nalways answering "red" +exact_match  0.500  0.\d{3} to 0.\d{3}  -0.500 ', said)
    assert re.search(r"\nthe commonest answer to the same question +exact_match  0.875  ", said)
    assert "\nexact_match: the model is behind the best of these, -0.875 (" in said
    assert max(map(len, said.splitlines()[1:])) <= 120 + len(str(trained)) + len(str(questions))
    values = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(values["metrics_per_kind"]["is"]["exact_match"]) > {"low", "high", "above_blank", "above_exchanged"}
    prior = values["without_looking"]["question_prior"]
    assert (prior["score"], prior["per_kind"]["is"]["score"]) == (0.875, 0.75)
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.index("<h2>Scores by kind</h2>") < html.index("<h2>Without looking</h2>")
    assert html.index("<h2>Without looking</h2>") < html.index("<h2>Images and answers</h2>")


def test_eval_without_a_training_split_tells_no_baselines(run, trained, questions):
    values = json.loads(run("eval", trained, questions, "--split", "train", "--no-controls", "--json")[1])
    assert "without_looking" not in values


def test_caption_that_agrees_most_is_a_baseline(run, trained, images):
    values = json.loads(run("eval", trained, images, "--no-controls", "--json")[1])["without_looking"]
    assert values["constant_caption"]["metric"] == "cider"
    assert values["constant_caption"]["candidates"] == 4


def test_passes_can_be_named(run, refused, trained, images, tmp_path):
    row = {"image": str(images / "0.png"), "question": "which?", "choices": ["red", "blue"], "answer": "red"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    words = ("eval", trained, tmp_path / "rows.jsonl", "--no-controls", "--json", "--metrics")
    values = json.loads(run(*words, "perplexity,circular_choice")[1])["metrics"]
    assert set(values) == {"perplexity", "circular_choice"}
    assert values["perplexity"]["low"] <= values["perplexity"]["score"]
    assert set(json.loads(run(*words, "choice")[1])["metrics"]) == {"choice"}
    said = refused("eval", trained, images, "--metrics", "circular_choice")
    assert "'circular_choice' needs questions with choices" in said


def test_rows_with_boxes_are_scored_as_boxes(run, trained, images, tmp_path):
    answer = "<loc0000><loc0000><loc0500><loc0500> cat"
    row = {"image": str(images / "0.png"), "prefix": "detect cat", "suffix": answer}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    values = json.loads(run("eval", trained, tmp_path / "rows.jsonl", "--no-controls", "--json")[1])["metrics"]
    assert set(values) == {"mean_iou", "ap_50"}
