"""Memory that work will take, in parts."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Foretold:
    """Memory that work will take at its fullest moment. The fields of a subclass are its parts, in bytes."""

    @property
    def peak(self) -> int:
        """The sum: the most that is taken at once."""
        return sum(self._parts().values())

    def to_dict(self) -> dict[str, int]:
        """Return the bytes by name, and their peak."""
        return {**self._parts(), "peak": self.peak}

    def _parts(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
