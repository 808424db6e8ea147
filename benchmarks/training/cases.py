"""What is measured: a model, a batch, and settings over its recipe."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ojito.config import Config, ModelConfig
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, SHARED, Batch


@dataclass(frozen=True)
class Case:
    """A training step.

    Attributes:
        preset: The recipe.
        rows: Of a step.
        text: Tokens of text in a row, labelled ones included.
        labels: Labelled tokens of a row.
        settings: Over the preset.
    """

    preset: str
    rows: int
    text: int
    labels: int
    settings: tuple[str, ...] = ()

    def config(self) -> Config:
        """The recipe."""
        steps = () if any(word.startswith("train.minutes") for word in self.settings) else ("train.steps=1000",)
        return preset(self.preset, [*steps, *self.settings, f"train.batch_size={self.rows}"])

    def with_settings(self, *settings: str, rows: int | None = None) -> Case:
        """The same with other settings."""
        return Case(self.preset, rows or self.rows, self.text, self.labels, (*self.settings, *settings))


_SMALL = (
    "model.vision.image_size=64", "model.vision.patch_size=8", "model.vision.width=192", "model.vision.layers=6",
    "model.vision.heads=6", "model.vision.mlp_dim=768", "model.vision.class_token=false", "model.vision.dropout=0",
    "model.decoder.width=192", "model.decoder.layers=6", "model.decoder.heads=6", "model.decoder.mlp_dim=512",
    "model.decoder.dropout=0", "model.decoder.vocab_size=4096",
)  # fmt: skip

CASES = {
    "step": Case("nanovlm-222m", rows=8, text=79, labels=40),
    "small": Case("vit-llama-96", rows=64, text=32, labels=32, settings=_SMALL),
    "tiny": Case("tiny", rows=16, text=50, labels=30),
}

_FROZEN, _BOTH = "train.freeze=[vision]", "train.checkpoint=[vision,decoder]"
_SELECTIVE = "train.checkpoint_kind=selective"
_GPT = Case("minimal-gpt", rows=4, text=64, labels=40)
_NANO = CASES["step"]

MEMORY = {
    "tiny": CASES["tiny"],
    "tiny, frozen vision": CASES["tiny"].with_settings(_FROZEN),
    **{f"nanoVLM-222M, {rows}": _NANO.with_settings(rows=rows) for rows in (1, 4, 8, 32)},
    **{f"nanoVLM-222M, {rows}, full": _NANO.with_settings(_BOTH, rows=rows) for rows in (1, 4, 8, 32)},
    **{f"nanoVLM-222M, {rows}, selective": _NANO.with_settings(_BOTH, _SELECTIVE, rows=rows) for rows in (4, 8)},
    "nanoVLM-222M, 4, vision": _NANO.with_settings("train.checkpoint=[vision]", rows=4),
    "nanoVLM-222M, 4, frozen vision": _NANO.with_settings(_FROZEN, rows=4),
    "nanoVLM-222M, 8 in 2": _NANO.with_settings("train.accumulate=2"),
    "GPT-2 and ViT-B, 4": _GPT,
    "GPT-2 and ViT-B, 4, full": _GPT.with_settings(_BOTH),
    "GPT-2 and ViT-B, 4, frozen vision": _GPT.with_settings(_FROZEN),
}
"""Foretold beside measured."""

BATCHES = {"cpu": (1, 2, 4, 8, 16, 32), "cuda": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)}
"""Batch sizes of the table by device."""


def batch_of(config: ModelConfig, case: Case, rows: int, encoded: bool = False) -> Batch:
    """Random rows: an image, a question, and labels at the end."""
    generator = torch.Generator().manual_seed(0)
    length = config.image_tokens + case.text
    tokens = torch.randint(5, config.decoder.vocab_size, (rows, length), generator=generator)
    targets = tokens.roll(-1, dims=1)
    targets[:, : length - case.labels] = IGNORE
    targets[:, -1] = 1
    tokens[:, : config.image_tokens] = IMAGE
    positions = torch.arange(length).expand(rows, length).contiguous()
    prefix = positions < length - case.labels
    size = config.vision.image_size
    images = torch.randn(rows, 3, size, size, generator=generator)
    batch = Batch(tokens, positions, torch.full_like(tokens, SHARED), prefix, targets, images)
    if encoded:
        batch.images = None
        batch.patches = torch.randn(rows, config.vision.grid**2, config.vision.width, generator=generator)
    return batch
