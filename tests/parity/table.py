"""The largest differences that the tests of this folder meet: the numbers of docs/parity.md, measured again.

    python -m tests.parity.table

A line a test and family (or other case), of all that the test gave to `torch.testing.assert_close`. A test that
compares bit for bit, or token for token, has no line: it passes or fails. On one thread: more add in another order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

FILES = ("test_families.py", "test_nanovlm.py", "test_parts.py", "test_vision.py")
CASES = ("family", "variant", "name")
"""The arguments of a test that have a line each; of the others' values the largest difference is printed."""


class Differences:
    """A plugin of pytest's that looks on."""

    def __init__(self) -> None:
        self.largest: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Measures what this test compares."""
        compare = torch.testing.assert_close
        values = item.callspec.params if hasattr(item, "callspec") else {}
        case = next((f" [{values[name]}]" for name in CASES if name in values), "")
        line = f"{item.path.name}::{item.originalname}{case}"

        def measured(ours: Tensor, theirs: Tensor, **limits: Any) -> None:
            compare(ours, theirs, **limits)
            difference = (ours.double() - theirs.double()).abs().max().item()
            self.largest[line] = max(self.largest.get(line, 0.0), difference)

        torch.testing.assert_close = measured
        try:
            return (yield)
        finally:
            torch.testing.assert_close = compare


def main() -> int:
    """Runs the tests, then prints their lines."""
    torch.set_num_threads(1)
    differences = Differences()
    arguments = [str(Path(__file__).with_name(name)) for name in FILES]
    status = pytest.main(["-q", *arguments, *sys.argv[1:]], plugins=[differences])
    for line, difference in differences.largest.items():
        print(f"{difference:8.1e}  {line}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
