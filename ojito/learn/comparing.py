"""How a result differs from the right one, in words about shapes and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

_SHIFTS = (1, -1, 2, -2)

_ROUNDED = 5e-3  # of the largest number: what bfloat16's 8 bits lose


def difference(got: Any, expected: Any, tolerance: float, where: str = "the result") -> str:
    """Return how a result differs from the right one; empty where it does not.

    Args:
        got: The result: tensors, numbers, text, and lists, dicts or dataclasses of them.
        expected: The right one.
        tolerance: Largest difference of a number, relative and absolute together.
        where: What it is called.
    """
    if got is None and expected is not None:
        return f"{where} is None: is a `return` missing?"
    if got is ...:
        return f"{where} is `...`: a gap is still open"
    if isinstance(got, BaseException):
        return f"{where} is {_kind(got)}: an error is raised, not returned"
    if isinstance(expected, Tensor):
        return _tensor(got, expected, tolerance, where)
    if is_dataclass(expected) and not isinstance(expected, type):
        names = [one.name for one in fields(expected)]
        if type(got) is not type(expected):
            return f"{where} is {_kind(got)}, not {_kind(expected)}"
        pairs = [(getattr(got, name), getattr(expected, name), f"{where}'s {name}") for name in names]
        return _first(pairs, tolerance)
    if isinstance(expected, Mapping):
        return _mapping(got, expected, tolerance, where)
    if isinstance(expected, (list, tuple)):
        return _sequence(got, expected, tolerance, where)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return _number(got, expected, tolerance, where)
    if type(got) is not type(expected):
        return f"{where} is {_kind(got)}, not {_kind(expected)}"
    return "" if got == expected else f"{where} is {got!r}, not {expected!r}"


def ratio(got: Any, expected: Any) -> float | None:
    """By how much all numbers of a result are too large; None where that is not one number."""
    if isinstance(got, (int, float)) and isinstance(expected, (int, float)) and expected:
        return got / expected
    if not (isinstance(got, Tensor) and isinstance(expected, Tensor)) or got.shape != expected.shape:
        return None
    if not (got.is_floating_point() and expected.is_floating_point()):
        return None
    some = expected.abs() > 1e-4
    if not some.any():
        return None
    ratios = got[some].double() / expected[some].double()
    middle = float(ratios.median())
    return middle if torch.allclose(ratios, ratios.median().expand_as(ratios), rtol=1e-3) else None


def _tensor(got: Any, expected: Tensor, tolerance: float, where: str) -> str:
    if not isinstance(got, Tensor):
        return f"{where} is {_kind(got)}, not a tensor of shape {_shape(expected)}"
    if got.shape != expected.shape:
        same = sorted(got.shape) == sorted(expected.shape)
        hint = ": the same sizes in another order" if same else _size_hint(got, expected)
        return f"{where} has shape {_shape(got)}, not {_shape(expected)}{hint}"
    if got.dtype != expected.dtype:
        return f"{where} has dtype {_dtype(got)}, not {_dtype(expected)}"
    if not expected.is_floating_point():
        wrong = got != expected
        return f"{where} is wrong {_places(wrong)}: {_at(got, expected, wrong)}" if wrong.any() else ""
    if got.isnan().any() and not expected.isnan().any():
        return f"{where} is not a number (NaN) {_places(got.isnan())}: {_nan_hint(got)}"
    wrong = ~torch.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    return f"{where} {_how(got, expected, wrong, tolerance)}"


def _how(got: Tensor, expected: Tensor, wrong: Tensor, tolerance: float) -> str:
    """What relation the numbers have to the right ones, the most telling first."""

    def close(one: Tensor, other: Tensor) -> bool:
        return torch.allclose(one, other, rtol=max(tolerance, 1e-4), atol=max(tolerance, 1e-6))

    factor = ratio(got, expected)
    if factor is not None and math.isclose(factor, -1, rel_tol=1e-3):
        return "has the wrong sign everywhere"
    if factor is not None and abs(factor) > 1e-6 and not math.isclose(factor, 1, rel_tol=2e-3):
        too = f"{factor:.4g}x too large" if abs(factor) > 1 else f"{1 / factor:.4g}x too small"
        return f"is {too} everywhere"
    offset = (got - expected).flatten()
    if got.numel() > 1 and close(offset, offset[0].expand_as(offset)):
        return f"is off by {float(offset[0]):+.4g} everywhere"
    largest = float((got - expected).abs().max())
    if expected.dtype == torch.float32 and tolerance < 1e-4 and largest < _ROUNDED * float(expected.abs().max()):
        hint = "is something rounded, to bfloat16 or float16, or is a formula only nearly the same?"
        return f"is nearly right, but off by up to {largest:.2g} {_places(wrong)}: {hint}"
    if got.numel() > 1 and close(got.flatten().sort().values, expected.flatten().sort().values):
        for axis in range(got.ndim):
            for steps in _SHIFTS:
                if got.shape[axis] > abs(steps) and close(got, expected.roll(steps, axis)):
                    return f"has the right numbers, shifted by {steps:+d} along axis {axis} of {_shape(got)}"
            if close(got, expected.flip(axis)):
                return f"has the right numbers, in reverse along axis {axis} of {_shape(got)}"
        return "has the right numbers in the wrong places"
    text = f"is wrong {_places(wrong)}, by {largest:.3g} at the most: {_at(got, expected, wrong)}"
    for axis in range(got.ndim):
        rows = wrong.movedim(axis, 0).flatten(1).any(1) if got.ndim > 1 else wrong
        right = [i for i, bad in enumerate(rows.tolist()) if not bad]
        if right and len(rows) > 1:
            return f"{text}. Along axis {axis}, {_numbers(right)} of 0 to {len(rows) - 1} would be right"
    return text


def _mapping(got: Any, expected: Mapping[Any, Any], tolerance: float, where: str) -> str:
    if not isinstance(got, Mapping):
        return f"{where} is {_kind(got)}, not a dict"
    missing, more = [k for k in expected if k not in got], [k for k in got if k not in expected]
    if missing or more:
        parts = [f"lacks {missing}"] * bool(missing) + [f"has {more}, which do not belong there"] * bool(more)
        return f"{where} {' and '.join(parts)}"
    return _first([(got[key], expected[key], f"{where}[{key!r}]") for key in expected], tolerance)


def _sequence(got: Any, expected: Sequence[Any], tolerance: float, where: str) -> str:
    if not isinstance(got, (list, tuple)):
        return f"{where} is {_kind(got)}, not a {type(expected).__name__} of {len(expected)}"
    if len(got) != len(expected):
        short = len(expected) <= 16 and not any(isinstance(one, Tensor) for one in (*got, *expected))
        shown = f": {[*got]}, not {[*expected]}" if short and len(got) <= 16 else ""
        return f"{where} has {len(got)} entries, not {len(expected)}{shown}"
    pairs = zip(got, expected, strict=True)
    return _first([(one, other, f"{where}[{i}]") for i, (one, other) in enumerate(pairs)], tolerance)


def _first(pairs: Sequence[tuple[Any, Any, str]], tolerance: float) -> str:
    return next(filter(None, (difference(got, right, tolerance, where) for got, right, where in pairs)), "")


def _number(got: Any, expected: float, tolerance: float, where: str) -> str:
    if isinstance(got, Tensor) and got.numel() == 1:
        got = got.item()
    if not isinstance(got, (int, float)) or isinstance(got, bool):
        return f"{where} is {_kind(got)}, not a number"
    if isinstance(expected, int) and got == expected:
        return "" if isinstance(got, int) else f"{where} is {got!r}, a float: return the whole number {expected}"
    if isinstance(expected, int) and isinstance(got, int):
        return f"{where} is {got}, not {expected}"
    if math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance):
        return ""
    factor = ratio(got, expected)
    told = "" if factor is None or factor <= 0 else f": {factor:.4g}x of it"
    return f"{where} is {got:.6g}, not {expected:.6g}{told}"


def _size_hint(got: Tensor, expected: Tensor) -> str:
    if got.ndim != expected.ndim:
        return f": {got.ndim} axes, not {expected.ndim}"
    axes = [i for i, (one, other) in enumerate(zip(got.shape, expected.shape, strict=True)) if one != other]
    return f": axis {axes[0]} is {got.shape[axes[0]]}, not {expected.shape[axes[0]]}" if len(axes) == 1 else ""


def _nan_hint(got: Tensor) -> str:
    if got.isnan().all():
        return "does something divide zero by zero, or take the root of a negative number?"
    return "is something divided by a sum that is 0, or does a softmax get a row of nothing but -inf?"


def _places(wrong: Tensor) -> str:
    share = float(wrong.float().mean())
    if share == 1:
        return "everywhere"
    return f"in {int(wrong.sum())} of {wrong.numel()} places" if wrong.numel() > 1 else ""


def _at(got: Tensor, expected: Tensor, wrong: Tensor) -> str:
    place = [int(i) for i in wrong.nonzero()[0]]
    return f"at {place} it is {_value(got[tuple(place)])}, not {_value(expected[tuple(place)])}"


def _value(one: Tensor) -> str:
    value = one.item()
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _numbers(values: Sequence[int]) -> str:
    """Whole numbers, runs of them joined: 0 to 3, 5."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    said = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:4]]
    return ", ".join(said) + ", ..." * (len(runs) > 4)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {_shape(value)}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _shape(tensor: Tensor) -> str:
    return "(" + ", ".join(map(str, tensor.shape)) + ")"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
