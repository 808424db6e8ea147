"""What is measured: shapes, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ojito.config import Config
from ojito.presets import preset

FORMS = ("float32", "bfloat16", "int8", "int4")
"""How Ojito stores the weights: in a dtype, or quantized."""


@dataclass(frozen=True)
class Case:
    """A shape, and what is asked of it.

    Attributes:
        about: In a line.
        preset: The shape.
        work: "answer": one answer; "rows": many questions at once beside one after another; "ask": a command, from the
            start of its process; "layers": each matrix by itself.
        image: Whether the questions are about an image.
        same_image: With work "rows", whether all questions are about one image.
        prompt: Tokens of text in a question.
        tokens: Of an answer.
        batch: Questions, with work "rows".
        settings: Over the preset.
    """

    about: str
    preset: str
    work: Literal["answer", "rows", "ask", "layers"] = "answer"
    image: bool = True
    same_image: bool = False
    prompt: int = 8
    tokens: int = 20
    batch: int = 1
    settings: tuple[str, ...] = ()

    def config(self, tiny: bool) -> Config:
        """The recipe of its shape, or of one that is small enough for a moment."""
        return preset(self.preset, [*self.settings, *(_TINY if tiny else ())])


_TINY = (
    "model.vision.width=32", "model.vision.heads=2", "model.vision.mlp_dim=64", "model.vision.layers=1",
    "model.decoder.width=64", "model.decoder.heads=4", "model.decoder.head_dim=16", "model.decoder.mlp_dim=96",
    "model.decoder.layers=2", "model.decoder.vocab_size=2048", "model.decoder.kv_heads=1",
)  # fmt: skip

_ONE_LAYER = ("model.vision.layers=1", "model.decoder.layers=1")

CASES = {
    "paligemma": Case("PaliGemma-3B, 224 px, 20 tokens", "paligemma-3b-224"),
    "nanovlm": Case("nanoVLM-222M, 224 px, 20 tokens", "nanovlm-222m"),
    "smollm2": Case("SmolLM2-135M, text alone", "nanovlm-222m", image=False, prompt=100),
    "gpt2": Case("GPT-2 small, text alone", "minimal-gpt", image=False, prompt=100, settings=(
        "model.decoder.dropout=0",)),
    "eight-images": Case("8 questions about 8 images, at once and one by one", "nanovlm-222m", work="rows", batch=8),
    "one-image": Case("8 questions about one image, at once and one by one", "nanovlm-222m", work="rows", batch=8,
                      same_image=True),
    "ask": Case("a command from the start of its process to the end of its answer", "paligemma-3b-224", work="ask"),
    "layers": Case("each matrix of PaliGemma-3B by itself, 1 and 264 rows", "paligemma-3b-224", work="layers",
                   settings=_ONE_LAYER),
}  # fmt: skip
