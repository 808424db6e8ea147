import sys

import pytest
from PIL import Image

from ojito.errors import OjitoError
from ojito.plot import Run, read_run
from ojito.plot.chart import FORMS, panels_of, write_chart

pytest.importorskip("matplotlib")


def svg(runs, path):
    write_chart(runs, path)
    return path.read_text()


@pytest.mark.parametrize("form", FORMS)
def test_chart_is_written_in_each_form(write, tmp_path, form):
    path = tmp_path / f"plot{form}"
    write_chart([read_run(write())], path)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[form]
    assert path.read_bytes().startswith(start)
    if form == ".png":
        with Image.open(path) as image:
            assert image.width == 1680
            assert len(image.convert("RGB").resize((200, 200)).getcolors(40_000)) > 50


@pytest.mark.parametrize("form", [".svg", ".pdf"])
def test_same_runs_make_the_same_file(write, tmp_path, form):
    run = read_run(write())
    for name in ("a", "b"):
        write_chart([run], tmp_path / f"{name}{form}")
    assert (tmp_path / f"a{form}").read_bytes() == (tmp_path / f"b{form}").read_bytes()


def test_every_group_of_curves_has_a_chart_of_its_own(write):
    run = read_run(write())
    assert len(panels_of([run])) == 8
    for start in ("loss", "grounding", "evaluation/", "grad_norm/", "update_ratio/", "lr", "samples_per_second", "mfu"):
        curves = {name: curve for name, curve in run.curves.items() if not name.startswith(start)}
        less = Run(run.name, "step", curves, run.steps)
        (missing,) = {panel.title for panel in panels_of([run])} - {panel.title for panel in panels_of([less])}
        assert missing


def test_several_runs_lie_on_top_of_each_other(write, tmp_path):
    runs = [read_run(write()), read_run(write("other", start=3.0, steps=100)), Run("young")]
    both = svg(runs, tmp_path / "both.svg")
    assert both != svg(runs[:1], tmp_path / "one.svg")
    assert both != svg(runs[::-1], tmp_path / "turned.svg")


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"step": 1, "loss": null}\n',
        '{"step": 1, "loss": 2.0}\n',
        '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": Infinity}\n',
        '{"step": 1, "loss": 2.0, "lr": 0.0, "grad_norm": {"all": 0.0, "vision": 0.0}}\n',
        '{"step": 1, "grounding_gap": null, "grounding_error": null}\n{"step": 2, "grounding_gap": 1.0}\n',
        '{"evaluation": true, "step": 5, "exact_match": 0.0}\n',
    ],
    ids=["empty", "null", "one point", "nan", "zeros", "gap", "scores alone"],
)
@pytest.mark.filterwarnings("error")
def test_young_broken_and_failed_runs_are_drawn(write, tmp_path, content):
    run = read_run(write(content=content))
    write_chart([run], tmp_path / "plot.svg")


def test_missing_library_is_told_with_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OjitoError, match=r"matplotlib, which draws it, cannot .*pip install 'ojito\[log\]'"):
        write_chart([Run("mine")], tmp_path / "plot.png")


def test_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OjitoError, match=r"none/plot.png: cannot be written \(No such file or directory\)"):
        write_chart([Run("mine")], tmp_path / "none" / "plot.png")
