import json
import math
import random

import pytest

from ojito.errors import OjitoError
from ojito.plot import Curve, read_run


def test_every_figure_of_a_run_is_a_curve(write):
    run = read_run(write())
    assert set(run.curves) == {
        "loss", "lr", "samples_per_second", "mfu", "grad_norm/vision", "grad_norm/connector", "grad_norm/decoder",
        "grad_norm/all", "update_ratio/vision", "update_ratio/decoder", "grounding_gap", "grounding_error",
        "loss_right", "loss_exchanged", "evaluation/exact_match", "evaluation/overlap",
    }  # fmt: skip
    assert (run.steps, run.samples, run.seconds) == (200, 800, 100.0)
    assert run.curves["evaluation/exact_match"] == Curve([100.0, 200.0], [0.25, 0.5])
    assert set(run.group("grad_norm")) == {"vision", "connector", "decoder", "all"}


def test_curves_run_over_steps_samples_or_minutes(write):
    folder = write()
    assert read_run(folder, "step").curves["grounding_gap"].x == [50, 100, 150, 200]
    assert read_run(folder, "samples").curves["grounding_gap"].x == [200, 400, 600, 800]
    assert read_run(folder, "minutes").curves["grounding_gap"].x == pytest.approx([25 / 60, 50 / 60, 75 / 60, 100 / 60])


def test_samples_between_two_lines_of_the_log_are_in_between(write):
    content = '{"step": 10, "samples": 100, "loss": 1}\n{"step": 15, "gap": 1}\n{"step": 20, "samples": 300, "loss": 1}'
    assert read_run(write(content=content), "samples").curves["gap"].x == [200]


def test_log_that_does_not_count_samples_is_told(write):
    with pytest.raises(OjitoError, match="does not say how many samples were learned from; plot it by step or minutes"):
        read_run(write(samples=False), "samples")


def test_the_file_itself_may_be_named(write, tmp_path):
    folder = write()
    assert read_run(folder / "metrics.jsonl").name == str(folder)
    (folder / "metrics.jsonl").rename(tmp_path / "another.jsonl")
    assert read_run(tmp_path / "another.jsonl").steps == 200


def test_last_run_of_a_folder_is_read(write):
    content = "".join(json.dumps({"step": step, "loss": step}) + "\n" for step in (10, 20, 30, 5, 10))
    assert read_run(write(content=content)).curves["loss"].x == [5, 10]


def test_loss_that_is_no_number_leaves_a_gap(write):
    run = read_run(write(content='{"step": 1, "loss": null}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": 1.5}\n'))
    assert [*map(math.isnan, run.curves["loss"].y)] == [True, True, False]
    assert run.curves["loss"].values == [1.5]
    assert run.to_dict()["curves"]["loss"] == {"x": [1, 2, 3], "y": [None, None, 1.5]}
    json.dumps(run.to_dict(), allow_nan=False)


@pytest.mark.parametrize("content", ["", "\n", "noise\n[1]\n", '{"loss": 1}\n', '{"step": 1, "lo'])
def test_run_without_a_step_yet_has_no_curves(write, content):
    run = read_run(write(content=content))
    assert (run.curves, run.steps, run.samples) == ({}, 0, None)
    assert read_run(write("again", content), "samples").curves == {}


def test_line_that_is_being_written_is_passed_over(write):
    assert read_run(write(content='{"step": 1, "loss": 2}\n{"step": 2, "lo')).curves["loss"].x == [1]


def test_folder_without_metrics_is_told(tmp_path):
    with pytest.raises(OjitoError, match=r"metrics.jsonl: is not there; give the folder of a run"):
        read_run(tmp_path)
    with pytest.raises(OjitoError, match=r"runs/none: is not there"):
        read_run("runs/none")


def test_smooth_curve_has_less_noise_no_lag_and_the_same_places():
    noise = random.Random(0)
    values = [5 - i / 100 + noise.gauss(0, 0.5) for i in range(400)]
    smooth = Curve([*map(float, range(400))], values).smooth()
    errors = [y - (5 - i / 100) for i, y in enumerate(smooth.y)][50:-50]
    assert smooth.x == [*range(400)]
    assert abs(sum(errors) / len(errors)) < 0.05
    assert max(map(abs, errors)) < 0.5


def test_points_between_two_gaps_are_found():
    nan = math.nan
    curve = Curve([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, nan, 8.0, nan, 1.0, 2.0, nan])
    assert curve.alone() == Curve([0.0, 2.0], [7.0, 8.0])
    assert Curve([1.0], [5.0]).alone() == Curve([1.0], [5.0])
    assert Curve([1.0, 2.0], [5.0, 6.0]).alone() == Curve()


def test_smoothing_leaves_gaps_and_short_curves_alone():
    short = Curve([1.0, 2.0], [3.0, 4.0])
    assert short.smooth() is short
    with_gap = Curve([*map(float, range(40))], [1.0] * 20 + [math.nan] + [1.0] * 19).smooth()
    assert math.isnan(with_gap.y[20])
    assert with_gap.y[:20] + with_gap.y[21:] == pytest.approx([1.0] * 39)
