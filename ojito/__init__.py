"""Ojito: small vision-language models to understand, train and run on your own machine.

    result = ojito.train("tiny", "captions.jsonl", out="runs/mine")
    pipe = ojito.load("runs/mine")
    print(pipe.ask("photo.jpg", "how many stars?"))

Names are imported when they are first used, so that `import ojito` does not wait for PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ojito import presets
    from ojito.answering import Answer
    from ojito.building import build
    from ojito.config import Config
    from ojito.data import Batches, Scenes, Source, open_data
    from ojito.errors import OjitoError
    from ojito.evaluate import Report, evaluate
    from ojito.generate import Greedy, Temperature, TopK, TopP
    from ojito.loading import load
    from ojito.locate.boxes import Box, write_boxes
    from ojito.locate.drawing import draw_boxes
    from ojito.model import VLM
    from ojito.pipeline import Pipeline
    from ojito.presets import preset
    from ojito.processor import ImageError, Processor, RowError
    from ojito.records import Batch, Sample, Turn
    from ojito.settings import ConfigError
    from ojito.trainer import History, TrainState, fit
    from ojito.training import TrainResult, prepare, train

__all__ = [
    "VLM",
    "Answer",
    "Batch",
    "Batches",
    "Box",
    "Config",
    "ConfigError",
    "Greedy",
    "History",
    "ImageError",
    "OjitoError",
    "Pipeline",
    "Processor",
    "Report",
    "RowError",
    "Sample",
    "Scenes",
    "Source",
    "Temperature",
    "TopK",
    "TopP",
    "TrainResult",
    "TrainState",
    "Turn",
    "__version__",
    "build",
    "draw_boxes",
    "evaluate",
    "fit",
    "load",
    "open_data",
    "prepare",
    "preset",
    "presets",
    "train",
    "write_boxes",
]

_HOMES = {
    "ojito.building": ("build",),
    "ojito.config": ("Config",),
    "ojito.data": ("Batches", "Scenes", "Source", "open_data"),
    "ojito.evaluate": ("Report",),
    "ojito.locate.drawing": ("draw_boxes",),
    "ojito.generate": ("Greedy", "Temperature", "TopK", "TopP"),
    "ojito.model": ("VLM",),
    "ojito.loading": ("load",),
    "ojito.answering": ("Answer",),
    "ojito.pipeline": ("Pipeline",),
    "ojito.presets": ("preset",),
    "ojito.processor": ("ImageError", "Processor", "RowError"),
    "ojito.locate.boxes": ("Box", "write_boxes"),
    "ojito.records": ("Batch", "Sample", "Turn"),
    "ojito.errors": ("OjitoError",),
    "ojito.settings": ("ConfigError",),
    "ojito.trainer": ("History", "TrainState", "fit"),
    "ojito.training": ("TrainResult", "prepare", "train"),
}


def __getattr__(name: str) -> Any:
    if name in ("evaluate", "presets"):
        return importlib.import_module(f"ojito.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'ojito' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
