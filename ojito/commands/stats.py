"""`--stats`: the seconds and the memory that an answer took, or the captions of many images."""

from __future__ import annotations

from typing import Any

import torch

from ojito.commands.console import format_bytes
from ojito.meter.clock import Watch
from ojito.meter.memory import peak_memory


def stats(watch: Watch, load_seconds: float, device: torch.device) -> dict[str, Any]:
    """Return the figures by name: those of the watch, of loading before it, and memory so far in GB (10^9 bytes)."""
    peak = round(peak_memory(device) / 1e9, 4)
    return {"load_seconds": round(load_seconds, 4), **watch.to_dict(), "peak_gb": peak}


def stats_line(values: dict[str, Any]) -> str:
    """Return the figures on a line for people."""
    parts = [f"loaded in {values['load_seconds']:.2f} s", f"image {values['encode_seconds']:.2f} s"]
    if "first_token_seconds" in values:
        parts.append(f"first token after {values['first_token_seconds']:.2f} s")
    if "tokens_per_second" in values:
        parts.append(f"then {values['tokens_per_second']:.1f} tokens/s")
    parts.append(f"answer in {values['seconds']:.2f} s")
    return f"{', '.join(parts)}; peak memory {format_bytes(values['peak_gb'] * 1e9)}"


def sweep_stats(watch: Watch, load_seconds: float, device: torch.device, images: int, tokens: int) -> dict[str, Any]:
    """Return the figures of many answers by name; the rates are of the whole time but for loading.

    Args:
        watch: That ran while they were given.
        load_seconds: Of the model, before.
        device: Of the model.
        images: That were answered about.
        tokens: Of all answers.
    """
    seconds = watch.to_dict()["seconds"]
    return {
        "images": images,
        "images_per_second": round(images / seconds, 2),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 2),
        "load_seconds": round(load_seconds, 4),
        "encode_seconds": round(watch.encode_seconds, 4),
        "seconds": seconds,
        "peak_gb": round(peak_memory(device) / 1e9, 4),
    }


def sweep_line(values: dict[str, Any]) -> str:
    """Return the figures of many answers on a line for people."""
    return (
        f"loaded in {values['load_seconds']:.2f} s, {values['images']} images in {values['seconds']:.2f} s, of which "
        f"encoding took {values['encode_seconds']:.2f} s: {values['images_per_second']:.1f} images/s, "
        f"{values['tokens_per_second']:.1f} tokens/s; peak memory {format_bytes(values['peak_gb'] * 1e9)}"
    )
