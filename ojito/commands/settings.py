"""`ojito settings`: list every setting of a recipe, with type, default and meaning."""

from __future__ import annotations

import itertools
import json
import shutil
import textwrap
from argparse import Namespace

from ojito.config import Config
from ojito.settings import Setting, describe_settings, group_names

WIDEST = 100  # columns; longer lines are hard to read


def run(args: Namespace) -> int:
    """Print the settings of one group, or of all."""
    settings = describe_settings(Config, args.group or "")
    if args.json:
        print(json.dumps([setting._asdict() for setting in settings], indent=1))
        return 0
    titles, width = group_names(Config), min(shutil.get_terminal_size().columns, WIDEST)
    for (group, kind), members in itertools.groupby(settings, lambda s: (s.key.rpartition(".")[0], s.kind)):
        heading = f"{group or 'recipe'}, kind: {kind}" if kind else group or "recipe"
        print(textwrap.fill(f"{heading}: {titles[group]}" if titles.get(group) else heading, width))
        for setting in members:
            print(_text(setting, width))
        print()
    return 0


def _text(setting: Setting, width: int) -> str:
    line = f"  {setting.key}={json.dumps(setting.default, ensure_ascii=False)}  ({setting.type})"
    about = textwrap.fill(setting.about, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"{line}\n{about}" if about else line
