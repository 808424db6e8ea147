"""Mappings to dataclasses and back, whatever the dataclasses are. No torch here.

`read` turns a mapping (YAML, JSON) into a `Config`; `override` applies `train.lr=3e-4` to that mapping first.
Whatever is wrong with it is one `ConfigError`: the key, the value, the remedy.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import reprlib
import stat
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from ojito.errors import OjitoError

T = TypeVar("T")

Settings = dict[str, Any]
"""Settings by their names, as a file says them and as `read` takes them: values, and groups of settings."""

_LARGEST = 2**128  # what sizes make of it can still be written down
_MOST_ENTRIES = 10_000  # of a list


class ConfigError(OjitoError):
    """A setting that cannot be used; `where` is its dotted key."""


def read(cls: type[T], values: Mapping[str, Any], key: str = "") -> T:
    """The dataclass `cls` with these values; what is not given keeps its default.

    Raises:
        ConfigError: Unknown key (with the nearest known one), wrong type, impossible value or combination.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(key or "config", f"{shown(values)} is not a mapping of settings to values; write name: value")
    types_ = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values = {name: value for name, value in values.items() if name not in getattr(cls, "UNUSED", ())}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(_text(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(_join(key, _text(name)), f"unknown setting; {hint}")
    made = {name: _value(types_[name], value, _join(key, name)) for name, value in values.items()}
    try:
        return cls(**made)
    except ConfigError as error:
        raise ConfigError(_join(key, error.where), error.problem, error.remedy) from None


def write(config: Any) -> dict[str, Any]:
    """The mapping that `read` turns back into this config: plain dicts, lists, numbers and strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return plain(dataclasses.asdict(config))


def differences(before: Any, after: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """The settings that two configs have both, and in which they differ.

    Args:
        before: A config.
        after: One to put beside it.
        key: What both are called, "model.vision".

    Returns:
        The dotted key of each, and its two values, as `write` has them.
    """
    yield from _differences(write(before), write(after), key)


def _differences(before: Settings, after: Settings, key: str) -> Iterator[tuple[str, Any, Any]]:
    for name in before:
        if name not in after:
            continue
        first, second = before[name], after[name]
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, _join(key, name))
        elif first != second:
            yield _join(key, name), first, second


def override(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The mapping with each `dotted.key=value` set in it; the value is read as YAML.

    Raises:
        ConfigError: A setting without `=`, or one that reaches into a plain value.
    """
    result = _copy(values)
    for setting in [settings] if isinstance(settings, str) else settings:  # one alone is a text, too
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(setting, "is not a setting; write key=value, for example train.lr=3e-4")
        *path, last = key.split(".")
        node = result
        for name in path:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(key, f"{name} is a value, not a group of settings")
        node[last] = parse_yaml(text, key)
    return result


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings of settings, group by group; what `over` says wins."""
    result = _copy(under)
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = _copy(value) if isinstance(value, Mapping) else value
    return result


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: `1e-3` is a number, which YAML 1.1 reads as a string. And no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # With them, a few lines stand for more settings than fit into memory, or for a mapping that holds itself.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*) is not read; write it out", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text.

    Raises:
        ConfigError: The text is not YAML; names `origin` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise ConfigError(origin, "is nested too deep to be settings; write it flat") from None
    except Exception as error:  # of a value that does not fit its tag ("!!bool maybe") PyYAML raises almost anything
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        known = isinstance(error, (yaml.YAMLError, ValueError))  # "2024-13-45" looks like a date, and is none
        problem = getattr(error, "problem", None) or (error if known else "a value does not fit its tag")
        raise ConfigError(origin, f"is not valid YAML{where}: {problem}; mend it") from error


def read_text(path: Path | str, limit: int, remedy: str) -> str:
    """The text of a file that may come from anywhere.

    Args:
        path: The file.
        limit: The most bytes it may have.
        remedy: What to do if it cannot be read, for the message.

    Raises:
        ConfigError: It is missing, not a plain file, too large, or not UTF-8.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not path.is_dir():  # of a pipe or a device there would be no end
            raise ConfigError(str(path), f"is not a plain file; {remedy}")
        if found.st_size > limit:
            raise ConfigError(str(path), f"has {found.st_size} bytes, more than {limit}; {remedy}")
        return path.read_text(encoding="utf-8")
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        unknown = "is not UTF-8 text" if isinstance(error, UnicodeError) else "no such path"
        reason = getattr(error, "strerror", None) or unknown
        raise ConfigError(str(path), f"cannot be read ({reason}); {remedy}") from None


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: No such file, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(str(path), f"cannot be read ({reason}); give the path of a YAML recipe") from None
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(str(path), "is not a mapping of settings; see `ojito train --print-config` for one")
    return values


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _value(kind: Any, value: Any, key: str) -> Any:
    """`value` as the annotated type `kind`, or a ConfigError that names both."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _tagged(args, value, key)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, key)  # type: ignore[arg-type]
    if origin is Literal:
        if value in args and not isinstance(value, bool):
            return value
        near = difflib.get_close_matches(_text(value), [str(a) for a in args], 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of these"
        raise ConfigError(key, f"{shown(value)} is not one of {', '.join(map(str, args))}; {hint}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(key, f"{shown(value)} is not a list; write [{_text(value)}]")
        if len(value) > _MOST_ENTRIES:
            raise ConfigError(key, f"{len(value)} entries are more than {_MOST_ENTRIES}; write fewer")
        if args[-1] is Ellipsis:
            return tuple(_value(args[0], v, f"{key}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise ConfigError(key, f"{shown(list(value))} has {len(value)} entries, not {len(args)}")
        return tuple(_value(a, v, f"{key}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # nan, too
            raise ConfigError(key, f"{shown(value)} is not a finite number; use one")
        return float(value)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        if kind is int and not abs(value) < _LARGEST:
            raise ConfigError(key, f"{shown(value)} is too large; use a smaller number")
        if kind is str and not _is_text(value):
            raise ConfigError(key, f"{shown(value)} holds half a character, as no file can; leave it out")
        return value
    if kind is str:
        raise ConfigError(key, f"{shown(value)} is not text{_in_quotes(value, key)}")
    wanted = {int: "a whole number; write for example 4", float: "a number; write for example 3e-4"}
    raise ConfigError(key, f"{shown(value)} is not {wanted.get(kind, 'true or false; write one of them')}")


class _Short(reprlib.Repr):
    """`repr` of bounded length and depth: what is quoted in a message may be huge."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxdict = 3, 12, 6
        self.maxstring = self.maxother = 100

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 256 else f"<a number of {x.bit_length()} bits>"


shown = _Short().repr
"""A value for an error's line."""


def _text(value: Any) -> str:
    return value[:100] if isinstance(value, str) else shown(value)


def _is_text(value: str) -> bool:
    """Whether it can be written down: JSON can say "\\ud83d", which is no character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_quotes(value: Any, key: str) -> str:
    """How to write as text what YAML reads as something else: nothing, a number, yes or no, a date."""
    if isinstance(value, (list, Mapping)):
        return "; write a text"
    what, text = ("an empty text", "") if value is None else ("it", shown(value) if type(value) is int else str(value))
    return f"; write {what} in quotes, for example {key}='\"{text}\"'"


def _tagged(members: tuple[Any, ...], value: Any, key: str) -> Any:
    """One of several dataclasses, chosen by the value's `kind`, or by the setting that they name as their TAG."""
    if isinstance(value, members):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(key, f"{shown(value)} is not a mapping of settings to values; write name: value")
    tag = getattr(members[0], "TAG", "kind")
    by_kind = {getattr(member, tag): member for member in members}
    kind = value.get(tag, getattr(members[0], tag))
    if kind not in list(by_kind):  # a list, because it may be anything: what cannot be hashed, too
        near = difflib.get_close_matches(_text(kind), by_kind, 1)
        remedy = f"did you mean {near[0]}?" if near else "choose one of these"
        raise ConfigError(_join(key, tag), f"{shown(kind)} is not one of {', '.join(by_kind)}", remedy)
    return read(by_kind[kind], value, key)
