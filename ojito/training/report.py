"""The report of a run: what it took, what it came to, and how far it moved each part of the model.

"Vision was to learn and did not move" is a mistake that no curve of losses shows.
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ojito.config import Config
from ojito.errors import one_line
from ojito.meter.machine import machine
from ojito.trainer import History, TrainState
from ojito.trainer.logs.sink import finite
from ojito.trainer.movement import PartMoved
from ojito.trainer.progress import Display

log = logging.getLogger(__name__)

REPORT = "report.json"

_HARDLY = 1e-5  # change of a part that was to learn
_ENOUGH = 20  # steps after which a change can be expected


def run_report(
    config: Config,
    state: TrainState,
    *,
    scores: Mapping[str, Any] | None = None,
    bad_rows: Sequence[str] = (),
    error: BaseException | None = None,
) -> dict[str, Any]:
    """Return what is to be known of a run at its end, as values for JSON.

    Args:
        config: The recipe.
        state: The run.
        scores: Of the last evaluation.
        bad_rows: Rows that were left out.
        error: What the run failed with.
    """
    history, parts = state.history, state.movement.parts()
    seen = history.seen.get("grounding", {})
    ended = "failed" if error else "interrupted" if history.interrupted else "stopped" if history.stopped else "done"
    return finite(
        {
            "name": config.name,
            "ended": ended,
            "error": None if error is None else one_line(str(error) or type(error).__name__),
            "steps": history.steps,
            "samples": history.samples,
            "seconds": round(history.seconds, 1),
            "loss": history.log[-1]["loss"] if history.log else None,
            "skipped_steps": [*history.skipped],
            "scores": None if scores is None else dict(scores),
            "grounding": seen if "grounding_gap" in seen else None,
            "bad_rows": len(bad_rows),
            "parts": {name: part.to_dict() for name, part in parts.items()},
            "warnings": warnings(parts, history),
            "precision": "bfloat16" if state.bfloat16 else "float32",
            "seed": config.train.seed,
            "device": str(state.device),
            "machine": {**machine(state.device), "system": platform.platform()},
            "ojito": _version(),
        }
    )


def warnings(parts: Mapping[str, PartMoved], history: History) -> list[str]:
    """Return what is wrong with how far the parts have moved, a line for each.

    Args:
        parts: Of the model, by name.
        history: Of the run; before the first step that changed something, nothing is wrong.
    """
    steps = history.steps - len(history.skipped)
    if steps <= 0:
        return []
    found = []
    for name, part in parts.items():
        if not part.tensors:
            continue
        if len(part.still) == part.tensors:
            found.append(f"{name} was to learn, but did not move: no gradient reaches it, or its learning rate is 0")
        elif part.still:
            names = ", ".join(part.still[:3]) + ", ..." * (len(part.still) > 3)
            found.append(f"{len(part.still)} of {part.tensors} tensors of {name} did not move: {names}")
        elif part.change is not None and part.change < _HARDLY and steps >= _ENOUGH:
            change = _percent(part.change)
            found.append(f"{name} hardly moved ({change} in {steps} steps): raise train.{name}_lr, or freeze it")
    return found


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report in a few lines for people: the parts, and the grounding gap. Warnings are told apart.

    Args:
        report: As `run_report` returns it.
    """
    moved = [
        f"{name} {'frozen' if not part['learned'] else '-' if part['change'] is None else _percent(part['change'])}"
        for name, part in report["parts"].items()
    ]
    said = [f"weights changed by: {', '.join(moved)}"] if report["steps"] and moved else []
    seen = report["grounding"]
    if seen and seen["grounding_gap"] is not None:
        said.append(
            f"grounding gap {seen['grounding_gap']:.3f}: loss {seen['loss_right']:.3f} with the right image, "
            f"{seen['loss_exchanged']:.3f} with that of another row"
        )
    return said


def conclude(report: Mapping[str, Any], folder: Path | None, display: Display) -> None:
    """Tell the report in short, with its warnings, and write report.json.

    The run is over: a disk that is full is told, and loses nothing else.

    Args:
        report: As `run_report` returns it.
        folder: Of the run; None writes nothing.
        display: Of the run.
    """
    for line in lines(report):
        display.say(line)
    for warning in report["warnings"]:
        log.warning("%s", warning)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("%s: cannot be written (%s)", folder / REPORT, error.strerror)


def _version() -> str:
    try:
        return metadata.version("ojito")
    except metadata.PackageNotFoundError:  # run from a folder that nobody installed
        return "not installed"


def _percent(change: float) -> str:
    share = 100 * change
    return f"{share:.0f}%" if share >= 10 else f"{share:.2g}%"
