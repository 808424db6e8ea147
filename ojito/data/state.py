"""The state of a loader: how far it is, and the bad rows that it has met. All of it can be written as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ojito.data.plan import Position
from ojito.errors import OjitoError


@dataclass
class LoaderState:
    """What decides on the batches to come and on what is said about them.

    Attributes:
        data: What the plan is made of: rows, seed, batch_size and pack. Those of a run that goes on are the same.
        number: Of the next micro-batch.
        position: Where the plan goes on.
        bad: The bad rows that were met: what is wrong, and whether it counts toward the budget.
    """

    data: dict[str, int]
    number: int = 0
    position: Position = field(default_factory=Position)
    bad: dict[int, tuple[str, bool]] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON has it."""
        return {
            "data": dict(self.data),
            "number": self.number,
            "position": dataclasses.asdict(self.position),
            "bad": [[row, problem, counts] for row, (problem, counts) in self.bad.items()],
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            OjitoError: It is no such state, or one of other data or settings.
        """
        try:
            data = {name: int(values["data"][name]) for name in self.data}
            position = Position(**{name: int(value) for name, value in values["position"].items()})
            number = int(values["number"])
            bad = {int(row): (str(problem), bool(counts)) for row, problem, counts in values["bad"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OjitoError(
                "state of the data", "is not one of a loader", "give what Batches.state_dict returned", [repr(error)]
            ) from error
        changed = [f"{name} {data[name]}, now {now}" for name, now in self.data.items() if data[name] != now]
        if changed:
            raise OjitoError(
                "state of the data",
                f"was saved with {', '.join(changed)}",
                "go on with the same data and settings, or begin a new run with the weights",
            )
        self.number, self.position, self.bad = number, position, bad


def merge_states(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The states of all ranks after the same batch as one, which any number of ranks can go on from.

    Args:
        states: What `Batches.state_dict` returned on each rank. A rank knows the bad rows alone that it has read.

    Raises:
        OjitoError: They are not of the same batch.
    """
    first = states[0]
    for rank, state in enumerate(states):
        if any(state[name] != first[name] for name in ("data", "number", "position")):
            raise OjitoError(
                "state of the data",
                f"rank {rank} is at batch {state['number']}, and rank 0 at {first['number']}",
                "save all ranks after the same step",
            )
    bad = {row: [row, problem, counts] for state in states for row, problem, counts in state["bad"]}
    return {**first, "bad": [*bad.values()]}
