"""YAML text to values and back, and text files that may come from anywhere."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ojito.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats, so that `1e-3` is a number and not a string as in YAML 1.1; and no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # With aliases, a few lines stand for more settings than fit into memory, or for a mapping that holds itself.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="an alias (*) is not read: write the value out", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


class _Dumper(yaml.SafeDumper):
    """Groups indented, lists on one line, a line break in a text as "\\n"."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "\n" in value else None),
)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return the YAML text of a mapping of settings, in its own order."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def parse_yaml(text: str, origin: str) -> Any:
    """Return the value of a YAML text.

    Args:
        text: The YAML.
        origin: The file or setting that it comes from, for messages.

    Raises:
        ConfigError: The text is not YAML; names `origin` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise ConfigError(origin, "is nested too deep to be settings", "write it flat") from None
    except Exception as error:  # for a value that does not fit its tag ("!!bool maybe") PyYAML raises almost anything
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        known = isinstance(error, (yaml.YAMLError, ValueError))  # "2024-13-45" looks like a date, but is none
        problem = getattr(error, "problem", None) or (error if known else "a value does not fit its tag")
        raise ConfigError(origin, f"is not valid YAML{where}: {problem}", "correct it") from error


def read_text(path: Path | str, limit: int, remedy: str) -> str:
    """Return the text of a file that may come from anywhere.

    Args:
        path: The file.
        limit: Maximal size, bytes.
        remedy: What to do if it cannot be read, for the message.

    Raises:
        ConfigError: The file is missing, not a plain file, too large, or not UTF-8.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not path.is_dir():  # a pipe or a device may never end
            raise ConfigError(path, "is not a plain file", remedy)
        if found.st_size > limit:
            raise ConfigError(path, f"has {found.st_size} bytes, more than {limit}", remedy)
        return path.read_text(encoding="utf-8")
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({_reason(error)})", remedy) from None


def is_yaml_file(path: Path | str) -> bool:
    """Whether this is the path of a file of YAML, told from its name."""
    return Path(path).suffix in (".yaml", ".yml") and Path(path).is_file()


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: No such file, not YAML, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")  # of a pipe, too: `--config <(...)`
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"cannot be read ({_reason(error)})", "give the path of a YAML recipe") from None
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(path, "is not a mapping of settings", "see `ojito train --print-config` for one")
    return values


def _reason(error: OSError | ValueError) -> str:
    otherwise = "is not UTF-8 text" if isinstance(error, UnicodeError) else "no such path"
    return getattr(error, "strerror", None) or otherwise
