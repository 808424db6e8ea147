"""Rules that settings share. Each raises a `ConfigError` for the first setting that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ojito.settings import ConfigError


def entries(config: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Yield settings and their values; each entry of a list under its own name, "blocks[0]"."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, (list, tuple)):
            yield from ((f"{name}[{i}]", entry) for i, entry in enumerate(value))
        else:
            yield name, value


def positive(config: Any, *names: str) -> None:
    """Check that settings are greater than 0."""
    for name, value in entries(config, *names):
        if not value > 0:  # not `value <= 0`, which is false for nan
            raise ConfigError(name, f"{value} must be greater than 0", "use a positive number")


def not_negative(config: Any, **zero: str) -> None:
    """Check that settings are at least 0.

    Args:
        config: The group of settings.
        **zero: What 0 stands for, by setting.
    """
    for name, meaning in zero.items():
        if not getattr(config, name) >= 0:
            raise ConfigError(name, f"{getattr(config, name)} must be at least 0", f"use 0 for {meaning}")


def fraction(config: Any, *names: str) -> None:
    """Check that settings are at least 0 and less than 1."""
    for name, value in entries(config, *names):
        if not 0 <= value < 1:
            raise ConfigError(name, f"{value} must be at least 0 and less than 1", "use for example 0.1")


def share(config: Any, **example: float) -> None:
    """Check that settings are between 0 and 1, both included.

    Args:
        config: The group of settings.
        **example: A usual value, by setting.
    """
    for name, usual in example.items():
        if not 0 <= getattr(config, name) <= 1:
            raise ConfigError(name, f"{getattr(config, name)} must lie between 0 and 1", f"use for example {usual}")


def divisible(config: Any, whole: str, part: str) -> None:
    """Check that one setting is divisible by another."""
    size, divisor = getattr(config, whole), getattr(config, part)
    if size % divisor:
        lower = max(size // divisor * divisor, divisor)
        raise ConfigError(
            whole, f"{size} is not divisible by {part} {divisor}", f"use {lower} or {lower + divisor}, or change {part}"
        )


def check_seed(seed: int) -> None:
    """Check that PyTorch takes this seed."""
    if seed.bit_length() > 63:
        raise ConfigError("seed", f"{seed} is too large for PyTorch", "use a number below 2**63")


def resolve(config: Any, **usual: Any) -> None:
    """Replace settings that are 0 by the usual value, in a frozen config that is being constructed."""
    for name, value in usual.items():
        if not getattr(config, name):
            object.__setattr__(config, name, value)
