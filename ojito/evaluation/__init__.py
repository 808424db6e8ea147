"""Evaluation: `runner` asks and grades (START HERE), `metrics` score, `report` shows a page."""

from ojito.evaluation.metrics.captions import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluation.runner import Graded, Report, Scores, evaluate, normalize

__all__ = [
    "Baselines",
    "Graded",
    "Report",
    "Scores",
    "caption_baselines",
    "evaluate",
    "is_caption",
    "normalize",
    "overlap",
]
