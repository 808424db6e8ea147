"""`ojito bench`: a table, a page, and one line of JSON."""

import json

import pytest
import torch

from ojito.bench import run as running
from ojito.bench.roofline import Limits

QUICK = ("--tokens", 3, "--rounds", 1, "--device", "cpu", "--dtype", "float32")


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setattr(running, "measure_limits", lambda *_: Limits(30e9, 1e12))


def test_bench_prints_a_line_for_each_batch_and_length(run, trained):
    code, said, _ = run("bench", trained, *QUICK, "--batch", "1,2", "--prompt-tokens", "4,8")
    assert code == 0
    assert "30.0 GB/s" in said
    lines = [line.split()[:2] for line in said.splitlines() if line.strip()[:1].isdigit()]
    assert lines == [["1", "8"], ["1", "12"], ["2", "8"], ["2", "12"]]
    assert said.startswith("micro in float32, on ")


def test_json_is_one_line_with_the_figures(run, trained):
    code, said, _ = run("bench", trained, *QUICK, "--json")
    assert code == 0
    assert said.count("\n") == 1
    values = json.loads(said)
    for name in ("seconds", "first_token_seconds", "ms_per_token", "peak_gb", "load_seconds"):
        assert values[name] > 0
    assert values["prompt"] == 4 + 8
    assert values["foretold_gb"]["peak"] > 0


def test_page_is_written(run, trained, tmp_path):
    code, _, err = run("bench", trained, *QUICK, "--out", tmp_path / "below" / "bench.html")
    assert code == 0
    assert "bench.html" in err
    assert 'class="bars"' in (tmp_path / "below" / "bench.html").read_text()


def test_threads_are_those_asked_for_and_the_old_ones_afterwards(run, trained):
    before = torch.get_num_threads()
    values = json.loads(run("bench", trained, *QUICK, "--json", "--threads", 3)[1])
    assert values["machine"]["threads"] == 3
    assert torch.get_num_threads() == before


def test_preset_is_measured_at_the_image_size_asked_for(run):
    values = json.loads(run("bench", "char", *QUICK, "--json", "--image-size", 32)[1])
    assert values["prompt"] == 4 + 8


def test_prompt_is_asked(run, trained):
    short, long = (
        json.loads(run("bench", trained, *QUICK, "--json", "--prompt", text)[1])["prompt"]
        for text in ("what?", "what is it, and what color is it?")
    )
    assert short < long


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bench missing", "'missing': is neither a folder nor a preset"),
        ("bench {model} --batch 0", "argument --batch: 0 must be greater than 0"),
        ("bench {model} --batch 1,x", "argument --batch: 'x' is not a whole number; write for example 4"),
        ("bench {model} --tokens 1", "tokens: 1 measures nothing; use 2 or more"),
        ("bench {model} --rounds 1,2", "argument --rounds: '1 2' is not a whole number"),
        ("bench {model} --image-size 32", "has a size of its own"),
        ("bench {model} --prompt a --prompt-tokens 3", "gives the question, and --prompt-tokens its length"),
        ("bench {model} --quantize int3", "invalid choice: 'int3'"),
        ("bench {model} --tokens 500", "are more than 96 positions"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, trained, words, said):
    assert said in refused(*words.format(model=trained).split())
