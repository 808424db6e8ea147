"""Catalog of all settings: key, type, default and description, the last from the `Attributes:` of the dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Union

from ojito.errors import ConfigError, nearest
from ojito.settings.mappings import join
from ojito.settings.reading import tag_of

_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<about>.*)")
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false"}


class Setting(NamedTuple):
    """One setting of a recipe.

    Attributes:
        key: Its dotted key, "train.lr".
        type: What it may be, in words: "whole number", "one of cosine, wsd".
        default: Its value where a recipe does not set it, as `write` gives it.
        about: What it does; empty where the dataclass says nothing.
        kind: Where a group has several kinds (vision towers), the one that has this setting; otherwise empty.
    """

    key: str
    type: str
    default: Any
    about: str
    kind: str = ""


def describe_settings(cls: type, group: str = "") -> list[Setting]:
    """List the settings of a dataclass, or of one group of it.

    Args:
        cls: The outermost dataclass.
        group: Dotted key of a group or a setting; empty for all.

    Raises:
        ConfigError: No such group or setting; names the nearest.
    """
    everything = [*_walk(cls, cls(), "", "")]
    found = [setting for setting in everything if not group or f"{setting.key}.".startswith(f"{group}.")]
    if not found:
        known = [*group_names(cls), *dict.fromkeys(setting.key for setting in everything)]
        otherwise = f"choose from {', '.join(group_names(cls))}"
        raise ConfigError(group, "is neither a group of settings nor a setting", nearest(group, known, otherwise))
    return found


def group_names(cls: type) -> dict[str, str]:
    """Return the dotted keys of a dataclass's groups, each with the first line of its docstring."""
    return {key: _first_line(members[0]) if len(members) == 1 else "" for key, members in _groups(cls, "")}


def _groups(cls: type, key: str) -> Iterator[tuple[str, tuple[type, ...]]]:
    hints = typing.get_type_hints(cls)
    for name in (field.name for field in dataclasses.fields(cls)):
        members = _members(hints[name])
        if members:
            yield join(key, name), members
            seen: dict[str, tuple[type, ...]] = {}
            for member in members:
                seen |= dict(_groups(member, join(key, name)))
            yield from seen.items()


def _walk(cls: type, defaults: Any, key: str, kind: str) -> Iterator[Setting]:
    """Yield the settings of a dataclass, and then those of its groups.

    Args:
        cls: The dataclass.
        defaults: The instance of it that a recipe has by default; or the class itself, for its own defaults.
        key: Its dotted key.
        kind: For `Setting.kind`.
    """
    abouts, hints, groups = attributes(cls), typing.get_type_hints(cls), []
    for field in dataclasses.fields(cls):
        name, hint = field.name, hints[field.name]
        factory = defaults is cls and field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if factory else getattr(defaults, name)  # type: ignore[operator]
        members = _members(hint)
        if members:
            groups.append((join(key, name), default, members))
            continue
        plain = [*default] if isinstance(default, tuple) else default
        yield Setting(join(key, name), _type(hint), plain, abouts.get(name, ""), kind)
    for group, default, members in groups:
        for member in members:
            of_kind = tag_of(member)[1] if len(members) > 1 else kind
            yield from _walk(member, default if type(default) is member else member, group, of_kind)


def attributes(cls: type) -> dict[str, str]:
    """Return the descriptions in the `Attributes:` of a class and its bases, by field, each on one line."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= _attributes(base.__doc__ or "")
    return found


def _attributes(doc: str) -> dict[str, str]:
    _, _, section = inspect.cleandoc(doc).partition("\nAttributes:\n")
    section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent(section).splitlines():
        entry = _ENTRY.fullmatch(line)
        if entry:
            names = entry["names"].split(", ")
            found |= dict.fromkeys(names, entry["about"])
        elif line.startswith(" "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _members(kind: Any) -> tuple[type, ...]:
    """Return the dataclasses that an annotation stands for; none for a plain value."""
    members = typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)
    return tuple(member for member in members if dataclasses.is_dataclass(member) and isinstance(member, type))


def _type(kind: Any) -> str:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}" if len(args) > 1 else str(args[0])
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"list, each {_type(args[0])}"
        return f"list of {len(args)}, each {_type(args[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type(arg) for arg in args)
    if dataclasses.is_dataclass(kind):
        return f"group of {', '.join(field.name for field in dataclasses.fields(kind))}"
    return "none" if kind is type(None) else _PLAIN[kind]


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
