"""All commands, in the order in which `ojito --help` lists them."""

from ojito.commands.table.answering import ANSWERING
from ojito.commands.table.command import Command
from ojito.commands.table.evaluating import EVALUATING
from ojito.commands.table.models import MODELS
from ojito.commands.table.training import TRAINING

COMMANDS: tuple[Command, ...] = (*TRAINING, *ANSWERING, *EVALUATING, *MODELS)

__all__ = ["COMMANDS", "Command"]
