"""Evaluation: `runner` asks and grades, `metrics` score, `report` shows a page."""

from ojito.evaluation.held_out import HeldOut, held_out_baselines, open_held_out
from ojito.evaluation.metrics.captions import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluation.metrics.words import normalize
from ojito.evaluation.runner import Graded, NothingAskedError, Report, Scores, evaluate

__all__ = [
    "Baselines",
    "Graded",
    "HeldOut",
    "NothingAskedError",
    "Report",
    "Scores",
    "caption_baselines",
    "evaluate",
    "held_out_baselines",
    "is_caption",
    "normalize",
    "open_held_out",
    "overlap",
]
