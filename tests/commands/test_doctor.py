"""`ojito doctor`: what it prints, its exit codes, and whom it reaches."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.doctor.test_server import SERVERS, serve  # noqa: F401 - a fixture


def test_healthy_model_is_told_so(run, trained, images):
    code, out, err = run("doctor", trained, images / "captions.jsonl", "--device", "cpu")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "micro"
    assert "; nothing is broken" in out
    assert "ALARM" not in out


def test_json_has_every_finding(run, trained):
    code, out, _ = run("doctor", trained, "--limit", 4, "--json", "--device", "cpu")
    values = json.loads(out)
    assert code == 0
    assert values["healthy"]
    assert {"examination", "severity", "says", "evidence", "remedy"} == set(values["findings"][0])


@pytest.fixture
def ill(trained, tmp_path):
    """The same model with one weight that is no number."""
    folder = tmp_path / "ill"
    folder.mkdir()
    for file in trained.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith("mlp.down.weight"))
    state[name] = torch.full_like(state[name], float("nan"))
    save_file(state, folder / "model.safetensors")
    return folder


def test_broken_model_is_exit_code_5_with_evidence_and_remedy(run, ill):
    code, out, _ = run("doctor", ill, "--device", "cpu")
    assert code == 5
    assert "ALARM  weights" in out
    assert "evidence: " in out
    assert "remedy: load an earlier checkpoint" in out
    assert "broken: weights" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "names no model; give MODEL, or --url of a server"),
        (("tiny", "--url", "http://127.0.0.1:9/v1"), "is a server, and MODEL a model: one at a time"),
        (("tiny", "--model", "owl"), "is for --url"),
        (("tiny", "no-such-rows.jsonl"), "no-such-rows.jsonl"),
        (("tiny", "--limit", "0"), "must be greater than 0"),
        (("--url", "127.0.0.1"), "is no address; write for example http://127.0.0.1:8000/v1"),
        (("--url", "http://127.0.0.1:9/v1", "--key-env", "NO_SUCH_KEY"), "is not set in the environment"),
        (("--url", "http://127.0.0.1:9/v1"), "does not answer"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(refused, words, said):
    assert said in refused("doctor", *words)


def test_server_is_examined(run, serve, monkeypatch):  # noqa: F811
    url, asked = serve()
    monkeypatch.setenv("OWL_KEY", "secret")
    code, out, err = run("doctor", "--url", url, "--model", "owl", "--key-env", "OWL_KEY")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"owl at {url}"
    assert asked[0][1]["Authorization"] == "Bearer secret"
    assert "secret" not in out
    url, _ = serve(SERVERS["mirrors"][0])
    code, out, _ = run("doctor", "--url", url, "--json")
    assert code == 5
    assert json.loads(out)["alarms"] == ["upright"]


def test_findings_are_written_as_a_page(run, refused, ill, tmp_path):
    code, out, err = run("doctor", ill, "--device", "cpu", "--out", tmp_path / "new" / "page.html", "--json")
    assert (code, json.loads(out)["alarms"][0]) == (5, "weights")
    assert err == f"ojito: the findings are in {tmp_path / 'new' / 'page.html'}\n"
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "<h3>weights</h3>" in html
    assert "load an earlier checkpoint" in html
    assert "is a folder; give a file" in refused("doctor", "nowhere", "--out", tmp_path)


def test_findings_of_a_server_are_written_as_a_page(run, serve, monkeypatch, tmp_path):  # noqa: F811
    url, _ = serve(SERVERS["mirrors"][0])
    monkeypatch.setenv("OWL_KEY", "secret")
    code, _, _ = run("doctor", "--url", url, "--key-env", "OWL_KEY", "--out", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert code == 5
    assert html.count("<img ") > 10
    assert "secret" not in html
