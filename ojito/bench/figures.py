"""The figures of a benchmark: of each case, and of the whole."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ojito.bench.roofline import Limits
from ojito.memory import AnswerMemory


@dataclass(frozen=True)
class Measured:
    """What one case took; seconds are medians of answers, the first one not among them.

    Attributes:
        batch: Rows.
        prompt: Tokens of a row before its answer, image tokens included.
        tokens: Of a row's answer.
        images: Squares that the vision tower read, of all rows.
        pixels_seconds: From the files of the images and the question's text to what the model reads.
        encode_seconds: Vision tower and connector.
        first_token_seconds: From what the model reads to the first token, encoding included.
        ms_per_token: Of each step after the first; all rows get a token in it.
        seconds: Whole answer.
        cold_seconds: Whole first answer, with all that is prepared or read from the disk on first use.
        peak: Bytes.
        foretold: By the config alone.
        decode_share: Of the speed at which memory could be read, what decoding has.
        prompt_share: Of the speed at which matrices could be multiplied, what the prompt has.
    """

    batch: int
    prompt: int
    tokens: int
    images: int
    pixels_seconds: float
    encode_seconds: float
    first_token_seconds: float
    ms_per_token: float
    seconds: float
    cold_seconds: float
    peak: int
    foretold: AnswerMemory
    decode_share: float = 0.0
    prompt_share: float = 0.0

    @property
    def prepare_seconds(self) -> float:
        """What the first answer took longer than the others."""
        return max(0.0, self.cold_seconds - self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Of all rows together, after the first token."""
        return 1000 * self.batch / self.ms_per_token

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name, memory in GB (10^9 bytes)."""
        seconds = ("pixels", "prepare", "encode", "first_token", "cold")
        return {
            "batch": self.batch,
            "prompt": self.prompt,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 5),
            **{f"{name}_seconds": round(getattr(self, f"{name}_seconds"), 5) for name in seconds},
            "ms_per_token": round(self.ms_per_token, 4),
            "tokens_per_second": round(self.tokens_per_second, 2),
            "peak_gb": round(self.peak / 1e9, 4),
            "foretold_gb": {name: round(size / 1e9, 4) for name, size in self.foretold.to_dict().items()},
            "decode_share": round(self.decode_share, 4),
            "prompt_share": round(self.prompt_share, 4),
        }


@dataclass(frozen=True)
class Bench:
    """What a model took.

    Attributes:
        name: Of the model.
        dtype: "bfloat16".
        quantize: How its matrices are stored.
        load_seconds: From the folder to a model that answers; files that were read before may still be in memory.
        peak: Bytes at the most, load included.
        cases: Measured.
        limits: Of the machine.
        machine: Where it ran.
    """

    name: str
    dtype: str
    quantize: str
    load_seconds: float
    peak: int
    cases: tuple[Measured, ...]
    limits: Limits
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name: those of the first case, and of all in `cases`."""
        return {
            "model": self.name,
            "dtype": self.dtype,
            "quantize": self.quantize,
            **self.cases[0].to_dict(),
            "load_seconds": round(self.load_seconds, 4),
            "peak_gb": round(self.peak / 1e9, 4),
            "cases": [case.to_dict() for case in self.cases],
            "limits": dataclasses.asdict(self.limits),
            "machine": self.machine,
        }
