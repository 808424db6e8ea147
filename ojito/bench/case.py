"""What a benchmark asks: so many questions, so long, with so long answers."""

from __future__ import annotations

from dataclasses import dataclass

from ojito.errors import OjitoError


@dataclass(frozen=True)
class Case:
    """What is asked.

    Attributes:
        batch: Questions at once, each about an image of its own.
        prompt_tokens: Of text in each, beside those of the image.
        tokens: Of each answer.
    """

    batch: int = 1
    prompt_tokens: int = 8
    tokens: int = 20

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("prompt_tokens", 1), ("tokens", 2)):
            if getattr(self, name) < least:
                raise OjitoError(name, f"{getattr(self, name)} measures nothing", f"use {least} or more")
