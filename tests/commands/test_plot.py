import json

import pytest


@pytest.fixture
def mine(tmp_path):
    rows = [{"step": s, "loss": 1 / s, "samples": 4 * s, "seconds": float(s)} for s in range(1, 30)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "mine"


def test_plot_shows_runs_on_the_terminal(run, mine):
    code, out, err = run("plot", mine, mine)
    assert (code, err) == (0, "")
    assert out.count("29 steps, 116 samples in 29 s") == 2
    assert "1.000 → 0.034" in out


def test_plot_draws_into_a_file(run, mine, tmp_path):
    pytest.importorskip("matplotlib")
    code, out, err = run("plot", mine, "--out", tmp_path / "plot.png", "--by", "samples")
    assert code == 0
    assert "29 steps" in out
    assert err == f"ojito: the curves are drawn in {tmp_path / 'plot.png'}\n"
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_plot_as_json_gives_the_series(run, mine):
    code, out, _ = run("plot", mine, "--json", "--by", "samples")
    (found,) = json.loads(out)
    assert code == 0
    assert (found["steps"], found["by"]) == (29, "samples")
    assert found["curves"]["loss"]["x"][:2] == [4, 8]


def test_plot_refuses_what_it_cannot_read_or_write(refused, mine, tmp_path):
    assert "mine.gif: is no form of image; end it in .svg, .png, .pdf" in refused("plot", mine, "--out", "mine.gif")
    assert "is not there; give the folder of a run" in refused("plot", tmp_path / "none")
    assert "invalid choice: 'hour'" in refused("plot", mine, "--by", "hour")


def test_plot_writes_plain_characters_where_the_terminal_has_no_others(mine, monkeypatch):
    import io
    import sys

    from ojito.cli import main

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["plot", str(mine)]) == 0
    stream.flush()
    assert b"1.000 -> 0.034" in stream.buffer.getvalue()
