"""Settings between YAML, the command line and frozen dataclasses, whatever the dataclasses are. No torch here.

`read` turns a mapping (YAML, JSON) into a dataclass, `override` applies `train.lr=3e-4` to that mapping first, and
`describe_settings` lists what there is to set. A mistake is one `ConfigError`: the key, the problem, the remedy.
"""

from ojito.errors import ConfigError
from ojito.settings.catalog import Setting, describe_settings, group_names
from ojito.settings.mappings import Settings, differences, merge, override, write
from ojito.settings.reading import places, read, shown
from ojito.settings.yaml_text import is_yaml_file, parse_yaml, read_text, read_yaml, to_yaml

__all__ = [
    "ConfigError",
    "Setting",
    "Settings",
    "describe_settings",
    "differences",
    "group_names",
    "is_yaml_file",
    "merge",
    "override",
    "parse_yaml",
    "places",
    "read",
    "read_text",
    "read_yaml",
    "shown",
    "to_yaml",
    "write",
]
