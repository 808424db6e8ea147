"""Mappings to dataclasses: every value checked against its annotation, every mistake named by its dotted key."""

from __future__ import annotations

import dataclasses
import reprlib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union

from ojito.errors import ConfigError, nearest
from ojito.settings.mappings import join

T = TypeVar("T")

_LARGEST = 2**128  # sizes computed from it can still be written down
_MOST_ENTRIES = 10_000  # of a list


def read(cls: type[T], values: Mapping[str, Any], key: str = "") -> T:
    """Return the dataclass `cls` with these values; settings that are not given keep their default.

    Raises:
        ConfigError: Unknown key (with the nearest known one), wrong type, impossible value or combination.
    """
    if not isinstance(values, Mapping):
        raise _not_a_mapping(key or "config", values)
    values = _renamed(cls, values, key)
    # Settings that only other kinds of this group have; files hold them where a recipe changed the kind.
    values = {name: value for name, value in values.items() if name not in getattr(cls, "UNUSED", ())}
    annotations = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            elsewhere = [f"{join(key, place)}{_equals(values[name])}" for place in places(cls, name)]
            remedy = f"did you mean {' or '.join(elsewhere)}?" if elsewhere else ""
            remedy = remedy or nearest(_text(name), known, f"known are {', '.join(known)}")
            raise ConfigError(join(key, _text(name)), "unknown setting", remedy)
    checked = {name: _value(annotations[name], value, join(key, name)) for name, value in values.items()}
    try:
        return cls(**checked)
    except ConfigError as error:
        raise ConfigError(join(key, error.where), error.problem, error.remedy) from None


def places(cls: type[Any], name: str, key: str = "") -> list[str]:
    """Return the dotted keys of a setting, or group, of this name in the groups of a dataclass.

    Args:
        cls: The dataclass.
        name: The last part of the keys.
        key: Dotted key of the dataclass.
    """
    found: list[str] = []
    for field, kind in typing.get_type_hints(cls).items():
        here = join(key, field)
        entries = typing.get_origin(kind) is tuple  # no dotted key leads into an entry of a list
        for member in typing.get_args(kind) or (kind,):
            if not entries and dataclasses.is_dataclass(member) and isinstance(member, type):
                found += [here] * (field == name) + places(member, name, here)
            elif key and field == name:
                found.append(here)
    return [*dict.fromkeys(found)]


def _equals(value: Any) -> str:
    return "" if isinstance(value, (Mapping, list)) else f"={value}"[:100]


def _renamed(cls: type[Any], values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the values under today's names; `cls.RENAMED` maps the names of earlier versions to them.

    Raises:
        ConfigError: A setting is given under both.
    """
    names = getattr(cls, "RENAMED", {})
    for old, new in names.items():
        if old in values and new in values:
            raise ConfigError(join(key, old), f"is an old name of {new}, which is given too", "remove it")
    return {names.get(name, name): value for name, value in values.items()} if names else values


def _value(kind: Any, value: Any, key: str) -> Any:
    """Return `value` as the annotated type `kind`.

    Raises:
        ConfigError: It is of another type.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _tagged(args, value, key)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, key)  # type: ignore[arg-type]
    if origin is Literal:
        if value in args and not isinstance(value, bool):
            return value
        raise _not_one_of(key, value, args)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(key, f"{shown(value)} is not a list", f"write [{_text(value)}]")
        if len(value) > _MOST_ENTRIES:
            raise ConfigError(key, f"{len(value)} entries are more than {_MOST_ENTRIES}", "write fewer")
        if args[-1] is Ellipsis:
            return tuple(_value(args[0], v, f"{key}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise ConfigError(
                key, f"{shown(list(value))} has {len(value)} entries, not {len(args)}", f"write {len(args)}"
            )
        return tuple(_value(a, v, f"{key}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # nan, too
            raise ConfigError(key, f"{shown(value)} is not a finite number", "use one")
        return float(value)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        if kind is int and not abs(value) < _LARGEST:
            raise ConfigError(key, f"{shown(value)} is too large", "use a smaller number")
        if kind is str and not _is_text(value):
            raise ConfigError(key, f"{shown(value)} holds half a character, which no file can hold", "leave it out")
        return value
    if kind is str:
        raise ConfigError(key, f"{shown(value)} is not text", _in_quotes(value, key))
    wanted, remedy = {
        int: ("a whole number", "write for example 4"),
        float: ("a number", "write for example 3e-4"),
    }.get(kind, ("true or false", "write one of them"))
    raise ConfigError(key, f"{shown(value)} is not {wanted}", remedy)


class _Short(reprlib.Repr):
    """`repr` of bounded length and depth: values quoted in a message may be huge."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict = 3, 12, 6
        self.maxstring = self.maxother = 100

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 256 else f"<a number of {x.bit_length()} bits>"


shown = _Short().repr
"""Return the text that quotes a value in a message."""


def _text(value: Any) -> str:
    return value[:100] if isinstance(value, str) else shown(value)


def _is_text(value: str) -> bool:
    """Whether the text can be encoded: JSON can hold "\\ud83d", which is not a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_quotes(value: Any, key: str) -> str:
    """The remedy for a text that YAML reads as something else: nothing, a number, yes or no, a date."""
    if isinstance(value, (list, Mapping)):
        return "write a text"
    what, text = ("an empty text", "") if value is None else ("it", shown(value) if type(value) is int else str(value))
    return f"write {what} in quotes, for example {key}='\"{text}\"'"


def _tagged(members: tuple[Any, ...], value: Any, key: str) -> Any:
    """Return one of several dataclasses, chosen by the setting that tells them apart."""
    if isinstance(value, members):
        return value
    if not isinstance(value, Mapping):
        raise _not_a_mapping(key, value)
    tag, first = tag_of(members[0])
    by_kind = {tag_of(member)[1]: member for member in members}
    kind = value.get(tag, first)
    if kind not in list(by_kind):  # a list, because the value may not be hashable
        raise _not_one_of(join(key, tag), kind, by_kind)
    return read(by_kind[kind], value, key)


def tag_of(member: Any) -> tuple[str, str]:
    """Return the setting that tells the kinds of a group apart, "kind" unless its TAG says otherwise, and its value."""
    tag = getattr(member, "TAG", "kind")
    return tag, getattr(member, tag)


def _not_a_mapping(key: str, value: Any) -> ConfigError:
    return ConfigError(key, f"{shown(value)} is not a mapping of settings to values", "write name: value")


def _not_one_of(key: str, value: Any, choices: Iterable[Any]) -> ConfigError:
    names = [*map(str, choices)]
    remedy = nearest(_text(value), names, "choose one of these")
    return ConfigError(key, f"{shown(value)} is not one of {', '.join(names)}", remedy)
