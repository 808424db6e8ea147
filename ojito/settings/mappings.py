"""Mappings of settings: written from a config, merged, overridden by `key=value`, compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ojito.errors import ConfigError
from ojito.settings.yaml_text import parse_yaml

Settings = dict[str, Any]
"""Settings by name, as a file holds them and as `read` takes them: values, and groups of settings."""


def write(config: Any) -> Settings:
    """Return the mapping that `read` turns back into this config: plain dicts, lists, numbers and strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return plain(dataclasses.asdict(config))


def differences(before: Any, after: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the settings that two configs both have, and in which they differ.

    Args:
        before: A config.
        after: The config to compare it with.
        key: The dotted key of both, such as "model.vision".

    Returns:
        The dotted key of each, and its two values, as `write` gives them.
    """
    yield from _differences(write(before), write(after), key)


def _differences(before: Settings, after: Settings, key: str) -> Iterator[tuple[str, Any, Any]]:
    for name in before:
        if name not in after:
            continue
        first, second = before[name], after[name]
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, join(key, name))
        elif first != second:
            yield join(key, name), first, second


def override(values: Mapping[str, Any], settings: Iterable[str]) -> Settings:
    """Return the mapping with each `dotted.key=value` set in it; the value is read as YAML.

    Raises:
        ConfigError: A setting without `=`, or one that reaches into a plain value.
    """
    result = _copy(values)
    for setting in [settings] if isinstance(settings, str) else settings:  # a single setting may come as a string
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(setting, "is not a setting", "write key=value, for example train.lr=3e-4")
        *path, last = key.split(".")
        node = result
        for depth, name in enumerate(path):
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                group = ".".join(path[: depth + 1])
                raise ConfigError(key, f"{group} is a value, not a group of settings", f"set {group} itself")
        node[last] = parse_yaml(text, key)
    return result


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> Settings:
    """Merge two mappings of settings, group by group; values of `over` win."""
    result = _copy(under)
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = _copy(value) if isinstance(value, Mapping) else value
    return result


def join(key: str, name: str) -> str:
    """The dotted key of a setting in the group `key`, which is empty for the outermost one."""
    return f"{key}.{name}" if key else name


def _copy(values: Mapping[str, Any]) -> Settings:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}
