"""Weights & Biases. Nothing goes online unless WANDB_MODE says so: a run is written to the disk, for `wandb sync`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.trainer.logs.sink import numbers


def check() -> None:
    """Check that the package is there.

    Raises:
        OjitoError: It is not.
    """
    _package()


class WandB:
    """A run of Weights & Biases in the folder "wandb"; one that is gone on with is another of the same group.

    Args:
        folder: The folder of the run, whose name the group has.
        after: The step that a run is gone on with from.

    Raises:
        OjitoError: The package is missing.
    """

    def __init__(self, folder: Path, after: int | None = None) -> None:
        wandb = _package()
        self.name = "wandb"
        name = folder.resolve().name
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ojito"),
            group=name,
            name=name if after is None else f"{name} from step {after}",
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
        )
        self._table = wandb.Table
        # A line of the log and an evaluation have one step; wandb's own counts the calls.
        self._run.define_metric("*", step_metric="step")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the numbers of a line, and what the model says as a table."""
        values: dict[str, Any] = dict(numbers(line, "evaluation/" if line.get("evaluation") else ""))
        if line.get("shown"):
            columns = ["origin", "prompt", "answer", "references"]
            rows = [[*(one[name] for name in columns[:3]), " / ".join(one["references"])] for one in line["shown"]]
            values["shown"] = self._table(columns=columns, data=rows)
        if values:
            self._run.log({"step": line.get("step"), **values})

    def close(self) -> None:
        """Write out what is left."""
        self._run.finish()


def _package() -> Any:
    try:
        import wandb  # not at the top: nobody needs it
    except ImportError as error:
        raise OjitoError(
            "train.logs", f"wandb cannot be imported ({error})", "install it with: pip install wandb, or leave it out"
        ) from None
    return wandb
