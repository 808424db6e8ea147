"""A command of the command line, as data."""

from typing import NamedTuple

from ojito.commands.arguments import Argument


class Command(NamedTuple):
    """A command of the command line.

    Attributes:
        name: The word after `ojito`.
        about: What it does, in a few words.
        module: The module whose `run(args)` does it.
        arguments: Its arguments and flags, without those that all commands have.
        example: A command line that works.
    """

    name: str
    about: str
    module: str
    arguments: tuple[Argument, ...]
    example: str
