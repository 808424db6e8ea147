"""What a model gets right, and whether it looks: `runner` asks and marks, `captions` scores, `report` shows."""

from ojito.evaluate.captions import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluate.runner import Mark, Report, Scores, evaluate, normalise

__all__ = [
    "Baselines",
    "Mark",
    "Report",
    "Scores",
    "caption_baselines",
    "evaluate",
    "is_caption",
    "normalise",
    "overlap",
]
