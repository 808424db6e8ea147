"""What a model gets right, and whether it looks: `runner` asks and marks, `captions` scores, `report` shows."""

from ojito.evaluate.captions import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluate.runner import Graded, Report, Scores, evaluate, normalize

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
