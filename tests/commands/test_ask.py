"""`ojito ask`: one question, the questions of stdin, and a chat on a terminal."""

import io
import json

import pytest

import ojito
from ojito import Sample, Turn
from ojito.learned import Learned
from ojito.model import VLM
from ojito.pipeline import Pipeline
from tests.hostile import good_folders


def test_ask_answers_the_question(run, trained, images):
    code, said, _ = run("ask", trained, images / "0.png", "what is it?", "--max-new-tokens", 4)
    assert code == 0
    values = json.loads(run("ask", trained, images / "0.png", "what is it?", "--json", "--max-new-tokens", 4)[1])
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
def test_each_sampling_flag_changes_the_answer(run, trained, images, flags, other):
    words = ("ask", trained, images / "0.png", "what?", "--json")
    assert json.loads(run(*words, *flags)[1])["answer"] != json.loads(run(*words, *other)[1])["answer"]


def test_stop_ends_the_answer_before_its_text(run, trained, images):
    words = ("ask", trained, images / "0.png", "what?", "--json", "--temperature", 5)
    whole = json.loads(run(*words)[1])["answer"]
    values = json.loads(run(*words, "--stop", "never said", "--stop", whole[3:5])[1])
    assert values["finish"] == "stop"
    assert values["answer"] == whole[: whole.index(whole[3:5])]


def test_ask_without_a_question_answers_each_line_of_stdin(run, trained, images, monkeypatch):
    words = ("ask", trained, images / "0.png", "--max-new-tokens", 4, "--json")
    first = json.loads(run(*words, "what?")[1])
    monkeypatch.setattr("sys.stdin", io.StringIO("what?\n\n  which colour?\n"))
    code, said, err = run(*words)
    assert code == 0
    assert err == "ojito: micro was trained to caption images, not to answer questions; try `ojito caption`\n"
    answers = [json.loads(line) for line in said.splitlines()]
    earlier = [Turn("what?", (first["answer"],))] if first["answer"] else []
    second = Sample([images / "0.png"], turns=(*earlier, Turn("which colour?")))
    (answer,) = ojito.load(trained).generate([second], max_new_tokens=4)
    assert answers[0] == first
    assert (answers[1]["question"], answers[1]["answer"]) == ("which colour?", str(answer))


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["streamed", "json"])
def test_conversation_encodes_its_image_once(run, trained, images, monkeypatch, form):
    encoded, encode = [], VLM.encode
    monkeypatch.setattr(VLM, "encode", lambda model, images: encoded.append(len(images)) or encode(model, images))
    monkeypatch.setattr("sys.stdin", io.StringIO("what?\nwhich colour?\nwhat?\n"))
    assert run("ask", trained, images / "0.png", "--max-new-tokens", 4, *form)[0] == 0
    assert encoded == [1]


def test_chat_reads_what_was_said_before_and_forgets_the_oldest(run, trained, images, monkeypatch):
    asked = []
    generate = Pipeline.generate

    def noting(pipe, samples, options):
        asked.append([turn.prompt for turn in samples[0].dialogue])
        return generate(pipe, samples, options)

    monkeypatch.setattr(Pipeline, "generate", noting)
    long = "xkqj " * 8  # bytes: no word that was learned
    monkeypatch.setattr("sys.stdin", io.StringIO(f"a?\nb?\n{long}\n{long}\n"))
    assert run("ask", trained, images / "0.png", "--max-new-tokens", 4, "--json", "--temperature", 5)[0] == 0
    assert asked[:3] == [["a?"], ["a?", "b?"], ["a?", "b?", long.strip()]]
    assert asked[3][-2:] == [long.strip()] * 2
    assert asked[3][0] != "a?"  # the model has 96 positions


@pytest.mark.parametrize("line", ["is <image> like <image>?", "a " * 300, "caf\udce9?"])
def test_chat_goes_on_after_a_line_that_cannot_be_asked(run, trained, images, monkeypatch, line):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"one\n{line}\nthree\n"))
    code, said, err = run("ask", trained, images / "0.png", "--json", "--max-new-tokens", 2)
    assert code == 2
    assert [json.loads(row)["question"] for row in said.splitlines()] == ["one", "three"]
    assert err.count("ojito: error: ") == 1
    assert err.count("\n") == 2


def test_bytes_that_are_not_utf8_spoil_their_own_line_only(run, trained, images, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"one\ncaf\xe9?\nthree\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    code, said, err = run("ask", trained, images / "0.png", "--json", "--max-new-tokens", 2)
    assert [json.loads(row)["question"] for row in said.splitlines()] == ["one", "three"]
    assert (code, "half a character" in err) == (2, True)


def test_ask_warns_on_a_captioner_alone(run, trained, images, tmp_path):
    for kinds, warned in (({"caption": 1}, True), ({"caption": 1, "colour": 1}, False), ({}, False)):
        pipe = ojito.load(trained)
        pipe.learned = Learned(kinds=kinds, question="which?" if "colour" in kinds else "")
        pipe.save(tmp_path / "mine")
        _, said, err = run("ask", tmp_path / "mine", images / "0.png", "what?", "--max-new-tokens", 1)
        assert ("try `ojito caption`" in err) is warned
        assert "caption" not in said


def test_model_of_paligemmas_kind_keeps_no_history(run, images, tmp_path, monkeypatch):
    good_folders.make(tmp_path / "pali", "paligemma")
    words = ("ask", tmp_path / "pali", images / "0.png", "--json", "--max-new-tokens", 6, "--device", "cpu")
    single = [json.loads(run(*words, question)[1]) for question in ("what?", "where?")]
    assert single[0]["answer"]
    monkeypatch.setattr("sys.stdin", io.StringIO("what?\nwhere?\n"))
    assert [json.loads(line) for line in run(*words)[1].splitlines()] == single


def test_chat_on_a_terminal_shows_a_prompt_and_streams(run, trained, images, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    words = ("ask", trained, images / "0.png", "--max-new-tokens", 4)
    answer = json.loads(run(*words, "what?", "--json")[1])["answer"]
    monkeypatch.setattr("sys.stdin", Terminal("what?\n"))
    code, said, err = run(*words)
    assert code == 0
    assert said == answer + "\n"
    assert err.count("> ") == 2
    assert "Ctrl-D ends" in err


def test_stats_tell_what_the_answer_took(run, trained, images):
    words = ("ask", trained, images / "0.png", "what?", "--max-new-tokens", 4)
    code, said, err = run(*words, "--stats")
    assert code == 0
    assert said == run(*words)[1]
    line = err.splitlines()[-1]
    assert line.startswith("ojito: loaded in ")
    assert all(word in line for word in ("image ", "first token after", "tokens/s", "answer in", "peak memory"))


def test_stats_stand_beside_the_answer_in_json(run, trained, images):
    words = ("ask", trained, images / "0.png", "what?", "--max-new-tokens", 4, "--json")
    plain, told = json.loads(run(*words)[1]), json.loads(run(*words, "--stats")[1])
    stats = told.pop("stats")
    assert told == plain
    assert 0 < stats["encode_seconds"] <= stats["first_token_seconds"] <= stats["seconds"]
    assert stats["load_seconds"] > 0
    assert stats["peak_gb"] > 0.01


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ask {model} {images}/0.png <image>", "contains <image>, which stands for an image"),
        ("ask {model} missing.png what", "missing.png: does not exist"),
        ("ask {model} {images}/0.png what now", "ask does not take 'now'"),
        ("ask {model} {images}/0.png what --top-p 2", "top_p: 2.0 must be greater than 0 and at most 1"),
        ("ask {model} {images}/0.png what --temperature -1", "temperature"),
        ("ask {model} {images}/0.png what --max-new-tokens 0", "max_new_tokens: 0"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, trained, images, words, said):
    assert said in refused(*words.format(model=trained, images=images).split())


def test_adapter_is_asked_as_its_model_is(run, adapter, moved, trained, images):
    image = images / "0.png"
    code, said, _ = run("ask", adapter, image, "what is it?")
    assert code == 0
    assert run("ask", moved, image, "what is it?", "--base", trained)[:2] == (0, said)
