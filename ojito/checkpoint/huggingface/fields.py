"""The fields of a public config.json, each checked before use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ojito.checkpoint.files import CONFIG, CheckpointError
from ojito.settings import ConfigError, shown

if TYPE_CHECKING:  # the tables of families read fields too, and must not wait for torch
    from ojito.checkpoint.description import OpenFolder

T = TypeVar("T")


@dataclass(frozen=True)
class Fields:
    """A group of fields. A field that is missing, or null, has its default.

    Attributes:
        values: What the file says.
        where: The file and the group, for messages.
    """

    values: Mapping[str, Any]
    where: str

    def get(self, *names: str) -> Any:
        """The first of these fields that is there and not null: one thing has had several names."""
        return self.values.get(self._name(names))

    def _name(self, names: Sequence[str]) -> str:
        return next((name for name in names if self.values.get(name) is not None), names[0])

    def integer(self, *names: str, default: int) -> int:
        """A whole number, at least 0.

        Raises:
            CheckpointError: It is none.
        """
        value = self.get(*names)
        if value is None:
            return default
        if type(value) is not int or not 0 <= value < 2**40:
            raise self.error(self._name(names), value, "a whole number is needed")
        return value

    def number(self, *names: str, default: float) -> float:
        """A finite number.

        Raises:
            CheckpointError: It is none.
        """
        value = self.get(*names)
        if value is None:
            return default
        if not _is_number(value):
            raise self.error(self._name(names), value, "a number is needed")
        return float(value)

    def numbers(self, *names: str, default: Sequence[float]) -> list[float]:
        """Return as many finite numbers as the default has.

        Raises:
            CheckpointError: It is no list of them.
        """
        value = self.get(*names)
        if value is None:
            return [*default]
        if not isinstance(value, list) or len(value) != len(default) or not all(map(_is_number, value)):
            raise self.error(self._name(names), value, f"{len(default)} numbers are needed")
        return [float(number) for number in value]

    def flag(self, *names: str, default: bool) -> bool:
        """True or false.

        Raises:
            CheckpointError: It is neither.
        """
        value = self.get(*names)
        if value is None:
            return default
        if type(value) is not bool:
            raise self.error(self._name(names), value, "true or false is needed")
        return value

    def choice(self, *names: str, among: Mapping[Any, T], default: T) -> T:
        """One of these values, translated.

        Raises:
            CheckpointError: It is another.
        """
        value = self.get(*names)
        if value is None:
            return default
        try:
            return among[value]
        except (KeyError, TypeError):
            known = ", ".join(str(key) for key in among)
            raise self.error(self._name(names), value, f"Ojito knows {known}") from None

    def text(self, *names: str) -> str:
        """Return the value as text."""
        value = self.get(*names)
        return value if isinstance(value, str) else shown(value)

    def group(self, *names: str) -> Fields:
        """A group within; an empty one where it is missing.

        Raises:
            CheckpointError: It is no group.
        """
        value = self.get(*names)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(self._name(names), value, "a group of fields is needed")
        return Fields(value or {}, f"{self.where}: {self._name(names)}")

    def demand(self, name: str, value: Any) -> None:
        """Refuse a model that differs in this field from all that Ojito can compute.

        Raises:
            CheckpointError: The field is there, and is something else.
        """
        found = self.get(name)
        if found is not None and found != value:
            raise self.error(name, found, f"Ojito has only {value!r}")

    def error(self, name: str, value: Any, remedy: str) -> CheckpointError:
        """Return the error about a field."""
        said = str(value) if isinstance(value, (str, int, float)) else shown(value)
        return CheckpointError(self.where, f"{name} is {said[:80]!r}", remedy)


def _is_number(value: Any) -> bool:
    """Whether it is finite, and no boolean."""
    return type(value) in (int, float) and abs(value) < 1e30


@contextmanager
def config_of(opened: OpenFolder) -> Iterator[Fields]:
    """The fields of a folder's config.json. A `ConfigError` about what is made of them names the folder.

    Raises:
        CheckpointError: No such file, or no mapping; or its weights are quantized.
    """
    f = Fields(opened.values, str(opened.path / CONFIG))
    try:
        yield f
    except ConfigError as error:
        raise ConfigError(f"{opened.path}: {error.where}", error.problem, error.remedy) from None


def known(*kinds: Mapping[str, Any]) -> str:
    """Return the remedy for a name that is none of these."""
    return f"Ojito knows {', '.join(name for kind in kinds for name in kind)}"
