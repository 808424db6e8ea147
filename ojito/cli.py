"""The command line: words to a command of `ojito.commands.table`, and errors to messages and exit codes.

A command's module is imported when it runs, so that `--help` and a mistyped word are answered without loading torch.
"""

import argparse
import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import ojito
from ojito.commands.arguments import COMMON
from ojito.commands.table import COMMANDS, Command
from ojito.errors import OjitoError, UsageError, nearest

DEBUG = "OJITO_DEBUG"
"""Environment variable that shows the traceback of a user's mistake, too."""

BUG, MISTAKE, SIGNALLED, BROKEN_PIPE = 1, 2, 128, 141

REPORT = "this is a bug in Ojito: please report it, with the command and all lines above, where you got Ojito from"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after "ojito"; None takes those that the program was started with.

    Returns:
        The exit code: 0; 1 for a bug; 2 for a mistake in the input; 3 if what was learned could not be written; 4 if
        another process of the same training was lost; 5 where `ojito doctor` finds something broken; 130 for Ctrl-C,
        and 128 + its number for another signal that ended a training.
    """
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a closed pipe is still caught
        return code
    except KeyboardInterrupt as error:
        return SIGNALLED + int(getattr(error, "signal", signal.SIGINT))
    except BrokenPipeError:
        # The reader of our output has closed it (`| head`). Python flushes once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a bug is shown with its traceback
        mistake = _mistake(error)
        if mistake is None or os.environ.get(DEBUG):
            traceback.print_exc()
        print(f"ojito: error: {mistake or REPORT}", file=sys.stderr)
        return BUG if mistake is None else getattr(error, "exit_code", MISTAKE)


def _mistake(error: Exception) -> str | None:
    """Return the one line for an error that the user can do something about; None for a bug."""
    if isinstance(error, OjitoError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # comes without a name when a write fails
        return "the disk is full; free some space, or write to another disk"
    return None


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"ojito {ojito.__version__}")
        return 0
    command, args = parse(words)
    if args is None:
        print(_parser(command).format_help(), end="")
        return 0
    return int(importlib.import_module(command.module).run(args))


def parse(words: Sequence[str]) -> tuple[Command, argparse.Namespace | None]:
    """Return the command that these words name, and its arguments; None if they ask for its help.

    Raises:
        UsageError: No such command, or it does not take these arguments.
    """
    commands = {command.name: command for command in COMMANDS}
    if words[0] not in commands:
        raise UsageError("", f"{words[0]!r} is not a command", nearest(words[0], commands))
    command = commands[words[0]]
    if "-h" in words or "--help" in words:
        return command, None
    parser = _parser(command)
    # Intermixed, because key=value may stand between flags.
    args, unknown = parser.parse_known_intermixed_args(words[1:])
    if unknown:
        flags = [name for argument in (*command.arguments, *COMMON) for name in argument.names if name[0] == "-"]
        flag = unknown[0].partition("=")[0]
        remedy = nearest(flag, flags) if flag.startswith("-") else f"see `{parser.prog} --help`"
        if flag.startswith("--") and command.name in ("train", "build"):  # which take a whole recipe
            from ojito.commands.hints import meant_by_flag  # not at the top: `--help` needs no YAML

            remedy = meant_by_flag(words, unknown[0]) or remedy
        raise UsageError("", f"{command.name} does not take {unknown[0]!r}", remedy)
    return command, args


class _Parser(argparse.ArgumentParser):
    """argparse, whose errors become a `UsageError`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("", message, f"see `{self.prog} --help`")


def _parser(command: Command) -> _Parser:
    parser = _Parser(
        prog=f"ojito {command.name}",
        description=f"{command.about[0].upper()}{command.about[1:]}.",
        epilog=f"example: {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for argument in command.arguments:
        parser.add_argument(*argument.names, **argument.options)
    common = parser.add_argument_group("options of every command")
    for argument in COMMON:
        common.add_argument(*argument.names, **argument.options)
    return parser


def _overview() -> str:
    width = max(len(command.name) for command in COMMANDS) + 2
    rows = [f"  {command.name:<{width}}{command.about}" for command in COMMANDS]
    examples = [f"  {command.example}" for command in COMMANDS if command.name in ("train", "caption", "ask", "eval")]
    return "\n".join(
        [
            "usage: ojito COMMAND [ARGUMENT ...]\n",
            "Small vision-language models to understand, train and run.\n",
            *rows,
            "\n`ojito COMMAND --help` shows its arguments. From your own images to a model that answers:\n",
            *examples,
            f"\nSet {DEBUG}=1 to see where in the code an error comes from.",
        ]
    )
