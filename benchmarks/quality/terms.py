"""What all rows of the table have in common: the data, and the settings that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.settings import read_yaml

ARCHITECTURES = Path(__file__).parent / "architectures"

_ON_ONE_THREAD = ("train.threads=1", "train.grounding_every=0", "train.eval_samples=64", "train.show_rows=0")


@dataclass(frozen=True)
class Data:
    """Data to learn from and to be asked about.

    Attributes:
        name: Its name in the table.
        about: What it is.
        path: Below the folder of all data; a built-in source is its own path.
        split: What is asked.
        score: Which score of `ojito eval` stands in the table.
        settings: Of every architecture that does not set them itself.
        built_in: Whether Ojito draws it.
    """

    name: str
    about: str
    path: str
    split: str
    score: str
    settings: tuple[str, ...]
    built_in: bool = False

    def where(self, folder: Path | None) -> str:
        """Path for the command line.

        Raises:
            SystemExit: It needs a folder, and there is none, or the file is not in it.
        """
        if self.built_in:
            return self.path
        if folder is None or not (folder / self.path).is_file():
            raise SystemExit(f"{self.name} needs {self.path} below --data-folder, which is {folder}")
        return str(folder / self.path)


DATA = {
    data.name: data
    for data in (
        Data(
            "scenes",
            "questions about drawn scenes, as many as the model has time for",
            "scenes",
            "dev",
            "exact_match",
            ("model.vision.image_size=48", "model.decoder.vocab_size=512"),
            built_in=True,
        ),
        Data(
            "nlvr",
            "4,945 questions about 3,536 drawn images, in which small things are counted",
            "nlvr/questions.jsonl",
            "val",
            "exact_match",
            ("model.vision.image_size=128", "model.decoder.vocab_size=512", "data.flip=true"),
        ),
        Data(
            "flickr",
            "6,000 photographs with five captions each",
            "flickr8k_128/captions.jsonl",
            "dev",
            "cider",
            ("model.vision.image_size=96", "model.decoder.vocab_size=2048", "data.flip=true"),
        ),
    )
}


def architectures() -> dict[str, str]:
    """What stands in the first line of each recipe, by its name."""
    found = sorted(ARCHITECTURES.glob("*.yaml"))
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in found}


def settings(architecture: str, data: Data) -> list[str]:
    """The settings of a training run: those of the data that the recipe does not set itself, and the terms of all."""
    own = dict(_keys(read_yaml(ARCHITECTURES / f"{architecture}.yaml")))
    return [one for one in (*data.settings, *_ON_ONE_THREAD) if one.partition("=")[0] not in own]


def _keys(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Dotted keys of nested settings."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        inside = isinstance(value, Mapping)
        found += _keys(value, f"{before}{key}.") if inside else [(f"{before}{key}", value)]
    return found
