"""Evaluation: `runner` asks and grades, `metrics` score, `report` shows a page.

`ojito.evaluate` is this package, and a verb: `ojito.evaluate(pipe, samples)` calls `evaluate`.
"""

import sys
from types import ModuleType
from typing import Any

from ojito.evaluate.held_out import HeldOut, held_out_baselines, open_held_out
from ojito.evaluate.metrics.overlap import Baselines, caption_baselines, is_caption, overlap
from ojito.evaluate.metrics.words import normalize
from ojito.evaluate.runner import Graded, NothingAskedError, Report, Scores, evaluate

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


class _Verb(ModuleType):
    """The package, which can be called."""

    def __call__(self, *args: Any, **options: Any) -> Report:
        """See `evaluate`."""
        return evaluate(*args, **options)


sys.modules[__name__].__class__ = _Verb
