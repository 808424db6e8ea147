import json

import pytest

from ojito.trainer.logs.jsonl import JsonLines, step_of


def written(folder, lines, after=None):
    sink = JsonLines(folder, after)
    for line in lines:
        sink.write(line)
    sink.close()
    return (folder / "metrics.jsonl").read_text()


def steps(folder):
    return [step_of(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_each_line_is_on_the_disk_at_once(tmp_path):
    sink = JsonLines(tmp_path)
    sink.write({"step": 1})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1}
    sink.close()


def test_lines_are_added_to_those_of_earlier_runs(tmp_path):
    written(tmp_path, [{"step": 1}])
    assert written(tmp_path, [{"step": 2}]) == '{"step": 1}\n{"step": 2}\n'


def test_a_new_line_begins_after_one_that_a_crash_cut_off(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert written(tmp_path, [{"step": 2}]) == '{"step": 1}\n{"st\n{"step": 2}\n'


def test_what_json_does_not_have_is_null(tmp_path):
    line = {"step": 1, "loss": float("nan"), "norm": {"all": float("inf")}, "list": [float("-inf"), 1]}
    assert json.loads(written(tmp_path, [line])) == {"step": 1, "loss": None, "norm": {"all": None}, "list": [None, 1]}


@pytest.mark.parametrize("after", [0, 2, 3, 5, 9])
def test_a_run_that_is_gone_on_with_drops_what_came_later(tmp_path, after):
    written(tmp_path, [{"step": step} for step in range(1, 6)])
    written(tmp_path, [{"step": step} for step in range(after + 1, 6)], after)
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_lines_of_all_kinds_at_the_step_itself_stay(tmp_path):
    written(tmp_path, [{"step": 2}, {"step": 2, "evaluation": True}, {"step": 3}])
    written(tmp_path, [], after=2)
    assert steps(tmp_path) == [2, 2]


def test_runs_before_the_last_one_stay_whole(tmp_path):
    written(tmp_path, [{"step": step} for step in (5, 9, 5, 9)])
    written(tmp_path, [{"step": 8}], after=7)
    assert steps(tmp_path) == [5, 9, 5, 8]


def test_a_line_that_a_crash_cut_off_goes_when_the_run_goes_on(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "lo')
    written(tmp_path, [{"step": 2}], after=1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_lines_without_a_step_share_the_fate_of_those_before_them(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"note": "a"}\n{"step": 1}\n{"note": "b"}\n{"step": 2}\nnoise\n')
    written(tmp_path, [], after=1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"note": "a"}\n{"step": 1}\n{"note": "b"}\n'


def test_a_run_may_be_gone_on_with_where_no_line_is(tmp_path):
    assert written(tmp_path / "new", [{"step": 5}], after=4) == '{"step": 5}\n'


@pytest.mark.parametrize("line", ["", "[1]", "{}", '{"step": "1"}', '{"step": true}', '{"step": 1', "[" * 100_000])
def test_lines_that_are_about_no_step(line):
    assert step_of(line) is None
