"""The demo: trains a small model on drawn scenes in two minutes, and shows what it learned."""

from __future__ import annotations

import json
import os
import platform
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ojito.data import Scenes
from ojito.evaluate import Graded, Report, Scores, evaluate
from ojito.evaluate.report import page
from ojito.presets import preset
from ojito.settings import ConfigError
from ojito.trainer.interrupts import Interrupted
from ojito.training import TrainResult, train
from ojito.web_page import write_page

QUESTIONS = 600  # of each measurement; 500 at the least, evenly of ten kinds
SHORT_MINUTES = 0.25
RECIPES = ("tiny", "scenes")

Say = Callable[[str], None]


def run(
    out: Path,
    *,
    recipe: str = "tiny",
    minutes: float = 0.0,
    short: bool = False,
    device: str = "auto",
    seed: int = 0,
    say: Say = print,
) -> dict[str, Any] | None:
    """Train, ask, and write `report.html`, `scores.json`, `metrics.jsonl`, `model/` and `images/` into `out`.

    Args:
        out: The folder; what else it holds stays.
        recipe: One of `RECIPES`: the preset "tiny", or "scenes", which takes longer and learns more.
        minutes: Of training; 0 takes the preset's.
        short: Train for seconds only and ask fewer questions: shows that it works, not how well.
        device: Where to train.
        seed: Of the weights and the scenes.
        say: Called with a line about what comes next.

    Returns:
        What scores.json holds; None if Ctrl-C came before the first step, and nothing was written.

    Raises:
        ConfigError: A preset that is not for scenes.
        Interrupted: SIGTERM or SIGHUP ended the training; the model is saved.
    """
    if recipe not in RECIPES:
        raise ConfigError("preset", f"{recipe} is not a recipe for drawn scenes", f"use {' or '.join(RECIPES)}")
    minutes = minutes or (SHORT_MINUTES if short else preset(recipe).train.minutes)
    config = preset(recipe, [f"train.minutes={minutes}", f"train.seed={seed}"])
    source = Scenes(config.data.scenes)
    result = train(config, source, out=out / "model", metrics=out, device=device, force=True, evaluate=False)
    pipe, history = result.pipeline, result.history
    if not history.steps:  # there is nothing to ask yet, nor anything worth replacing an older model for
        return None
    if history.signal not in (0, signal.SIGINT):  # Ctrl-C means: that is enough training; the others: end
        raise Interrupted(history.signal)

    count = 100 if short else QUESTIONS
    say(f"asking {count} questions about new scenes, {count} about pairs it never saw, and again without the image")
    report = evaluate(pipe, source.samples("dev", count), seed=seed)
    unseen = evaluate(pipe, source.samples("unseen", count), controls=(), seed=seed)
    scores = _scores(result, report, unseen)
    write_page(
        out / "report.html",
        page(
            "Ojito looked at drawn scenes",
            f"A model of {scores['parameters']:,} parameters, trained from nothing for {history.seconds:.0f} seconds "
            f"({history.samples:,} images). None of the images below was among them.",
            report,
            tiles=[
                (f"{scores['exact_match']:.1%}", "right", f"{count} questions about new scenes"),
                (f"{scores['exact_match_unseen_combinations']:.1%}", "on pairs it never saw", "colour and kind apart"),
                (f"{scores['exact_match_blank_image']:.1%}", "with a blank image", "what guessing is worth"),
                (f"{scores['exact_match_exchanged_image']:.1%}", "with another image", "what guessing is worth"),
            ],
            losses=history.log,
        ),
    )
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    _write_images(source, out / "images")
    return scores


def _scores(result: TrainResult, report: Report, unseen: Report) -> dict[str, Any]:
    history, model = result.history, result.pipeline.model
    asked: dict[str, tuple[Graded, ...]] = {
        "exact_match": report.graded,
        "exact_match_unseen_combinations": unseen.graded,
        "exact_match_blank_image": report.blank,
        "exact_match_exchanged_image": report.exchanged,
    }
    return {
        "train_seconds": round(history.seconds, 1),
        **{name: round(Scores.of(graded).exact_match, 4) for name, graded in asked.items()},
        "questions": {name: len(graded) for name, graded in asked.items()},
        "per_kind": {
            name: {kind: round(s.exact_match, 4) for kind, s in Report(graded).per_kind.items()}
            for name, graded in asked.items()
        },
        "steps": history.steps,
        "interrupted": history.interrupted,
        "images": history.samples,
        "images_per_second": round(history.samples / max(history.seconds, 1e-9), 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "device": str(result.pipeline.device),
            "torch": torch.__version__,
        },
    }


def _write_images(source: Scenes, folder: Path) -> None:
    """Write two new scenes as files for the commands that the demo prints."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(source.samples("dev", 2, seed=1)):
        sample.images[0].save(folder / f"scene{i + 1}.png")  # type: ignore[union-attr]
