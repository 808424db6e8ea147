"""Runs to plot: folders with a metrics.jsonl as training writes it."""

import json
import math

import pytest


def lines(steps=200, every=10, start=1.0, samples=True):
    """A run with everything: a log, two evaluations and a grounding gap."""
    found = []
    for step in range(every, steps + 1, every):
        line = {
            "step": step,
            "loss": start * math.exp(-step / 80) + 0.1,
            "lr": 1e-3,
            "samples_per_second": 50.0,
            "mfu": 0.4,
        }
        if samples:
            line["samples"] = 4 * step
        norms = {"vision": 0.5, "connector": 0.1, "decoder": 1.0, "all": 1.2}
        line |= {"seconds": 0.5 * step, "grad_norm": norms, "update_ratio": {"vision": 1e-3, "decoder": 2e-3}}
        found.append(line)
        if step % 50 == 0:
            gap = {"grounding_gap": step / 100, "grounding_error": 0.1, "loss_right": 1.0, "loss_exchanged": 2.0}
            found.append({"step": step, "seconds": 0.5 * step, **gap})
            found.append({"step": step, "seconds": 0.5 * step, "shown": [{"answer": "a kite"}]})
        if step % 100 == 0:
            scores = {"n": 9, "exact_match": step / 400, "overlap": 0.5}
            found.append({"evaluation": True, "step": step, "seconds": 0.5 * step, **scores})
    return found


@pytest.fixture
def write(tmp_path):
    """Writes the metrics.jsonl of a run; returns its folder."""

    def run(name="mine", content=None, **options):
        folder = tmp_path / name
        folder.mkdir()
        if content is None:
            content = "".join(json.dumps(line) + "\n" for line in lines(**options))
        (folder / "metrics.jsonl").write_text(content)
        return folder

    return run
