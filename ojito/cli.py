"""The command line: START HERE, at `COMMANDS`, the one table of what can be typed.

A command's module is imported when it runs: `--help` and a mistyped word are answered without waiting for torch.
"""

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import ojito
from ojito.errors import OjitoError

DEBUG = "OJITO_DEBUG"
"""The environment variable that asks for the traceback of a mistake."""

MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Argument(NamedTuple):
    """A word or flag of a command, as argparse's `add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


class Command(NamedTuple):
    """A command: what it is called and does, the module whose `run(args)` does it, its arguments, an example."""

    name: str
    about: str
    module: str
    arguments: tuple[Argument, ...]
    example: str


class UsageError(OjitoError):
    """Words that make no command."""


def _argument(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


def _word(text: str) -> str:
    """A path or a name. An empty one would be the folder that one is in, or as if it were not given."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty; give a path or a name")
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write for example 4") from None


def _seed(text: str) -> int:
    """As `train.seed`."""
    from ojito.config.rules import check_seed  # here, as the commands: `--help` waits for neither
    from ojito.settings import ConfigError

    seed = _whole(text)
    try:
        check_seed(seed)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(error.problem) from None
    return seed


def _pixels(text: str) -> int:
    """As `processor.image.max_pixels`."""
    pixels = _whole(text)
    if pixels < 1:
        raise argparse.ArgumentTypeError(f"{pixels} must be greater than 0")
    return pixels


COMMON = (
    _argument("--json", action="store_true", help="write JSON, and nothing else, to stdout"),
    _argument("--device", default="auto", help="auto (the GPU where there is one), cpu, cuda, cuda:1, mps"),
    _argument("--seed", type=_seed, metavar="N", help="of all that is drawn at random; the same seed, the same result"),
)

MODEL = _argument(
    "model",
    type=_word,
    metavar="MODEL",
    help="a folder, owner/name on the Hugging Face Hub, or a preset (random weights)",
)

MAX_PIXELS = _argument(
    "--max-pixels", type=_pixels, metavar="N", help="refuse larger pictures (default: the model's, mostly 20000000)"
)

SAMPLING = (
    _argument("--max-new-tokens", type=int, default=64, metavar="N", help="the longest answer, tokens (default 64)"),
    _argument("--temperature", type=float, metavar="T", help="draw tokens; below 1 is bolder, 0 (default) is greedy"),
    _argument("--top-k", type=int, metavar="K", help="draw among the K likeliest tokens"),
    _argument("--top-p", type=float, metavar="P", help="draw among the likeliest tokens that together reach P"),
    _argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="above 1, used tokens get rarer"),
    _argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be repeated"),
)

LOOKING = (
    _argument("image", type=_word, metavar="IMAGE", help="a picture"),
    _argument("things", metavar="THINGS", help='what to look for: cat, or "cat ; dog"'),
    _argument(
        "--out",
        type=_word,
        metavar="FILE",
        help="also write the picture with what was found, .png, .jpg, .webp or .bmp",
    ),
    MAX_PIXELS,
    _argument("--max-new-tokens", type=int, default=256, metavar="N", help="the longest answer, tokens (default 256)"),
)

COMMANDS = (
    Command(
        "demo",
        "train a small model on drawn scenes, and show what it sees",
        "ojito.commands.demo",
        (
            _argument(
                "--preset",
                type=_word,
                default="tiny",
                metavar="NAME",
                help="tiny, or scenes: twenty minutes (default tiny)",
            ),
            _argument(
                "--out", type=_word, default="runs/demo", metavar="FOLDER", help="where to put it (default runs/demo)"
            ),
            _argument("--minutes", type=float, metavar="M", help="how long to train (default: the preset's)"),
            _argument("--short", action="store_true", help="a few seconds of training, to see that it works"),
        ),
        "ojito demo",
    ),
    Command(
        "train",
        "train a model on your own pictures, or on a built-in source",
        "ojito.commands.train",
        (
            _argument(
                "--preset", type=_word, metavar="NAME", help="where to start from (default tiny); see `ojito presets`"
            ),
            _argument(
                "--from",
                dest="base",
                type=_word,
                metavar="MODEL",
                help="go on with this model's weights and recipe instead",
            ),
            _argument("--config", type=_word, metavar="FILE", help="a recipe in YAML; wins over the preset"),
            _argument(
                "--data",
                type=_word,
                metavar="PATH",
                help="folder, .jsonl or .csv, or scenes or photos16; wins over both",
            ),
            _argument("--steps", type=int, metavar="N", help="how long to train, in steps"),
            _argument("--minutes", type=float, metavar="M", help="or in minutes; with both, the first that is reached"),
            _argument("--out", type=_word, metavar="FOLDER", help="where to put the model (default runs/NAME)"),
            _argument("--force", action="store_true", help="replace the model that --out holds"),
            _argument("--print-config", action="store_true", help="print the whole recipe as YAML, and stop"),
            _argument("settings", nargs="*", metavar="key=value", help="any setting: train.lr=3e-4; wins over all"),
        ),
        "ojito train --preset tiny --data captions.jsonl --out runs/mine --steps 500",
    ),
    Command(
        "build",
        "join a public vision tower and a public decoder to a new model, to be trained",
        "ojito.commands.build",
        (
            _argument(
                "--vision",
                type=_word,
                required=True,
                metavar="MODEL",
                help="whose tower: a folder, owner/name, a preset",
            ),
            _argument(
                "--decoder", type=_word, required=True, metavar="MODEL", help="whose decoder: a folder, or owner/name"
            ),
            _argument(
                "--connector",
                default="mlp",
                metavar="NAME",
                help="linear, mlp (default), pixel_shuffle:2, average_pool:2, perceiver:64",
            ),
            _argument("--out", type=_word, required=True, metavar="FOLDER", help="where to put the model"),
            _argument("--force", action="store_true", help="replace the model that --out holds"),
            _argument("settings", nargs="*", metavar="key=value", help="any setting of its recipe: train.lr=3e-4"),
        ),
        "ojito build --vision google/siglip-base-patch16-224 --decoder HuggingFaceTB/SmolLM2-135M --out runs/new",
    ),
    Command(
        "caption",
        "say what is in pictures",
        "ojito.commands.caption",
        (
            MODEL,
            _argument("images", nargs="+", type=_word, metavar="IMAGE", help="pictures, or folders of pictures"),
            MAX_PIXELS,
            *SAMPLING,
            _argument("--batch-size", type=int, default=16, metavar="N", help="pictures at once (default 16)"),
        ),
        "ojito caption runs/mine photo.jpg",
    ),
    Command(
        "ask",
        "ask about a picture; without a question, chat about it",
        "ojito.commands.ask",
        (
            MODEL,
            _argument("image", type=_word, metavar="IMAGE", help="a picture"),
            _argument("question", nargs="?", metavar="QUESTION", help="left out: one question a line, from stdin"),
            MAX_PIXELS,
            *SAMPLING,
        ),
        'ojito ask runs/mine photo.jpg "what is it?"',
    ),
    Command(
        "detect",
        "find things in a picture, with a model of PaliGemma's kind",
        "ojito.commands.detect",
        (MODEL, *LOOKING, *SAMPLING[1:]),
        'ojito detect runs/mine photo.jpg "cat ; dog" --out boxed.png',
    ),
    Command(
        "segment",
        "find things in a picture to the pixel, with a model of PaliGemma's kind",
        "ojito.commands.segment",
        (
            MODEL,
            *LOOKING,
            _argument(
                "--weights",
                type=_word,
                required=True,
                metavar="FILE",
                help="vae-oid.npz, which big_vision publishes",
            ),
            _argument(
                "--masks",
                type=_word,
                metavar="FOLDER",
                help="also write each mask, white inside, to a new or empty folder: 1-cat.png, ...",
            ),
            *SAMPLING[1:],
        ),
        "ojito segment runs/mine photo.jpg cat --weights vae-oid.npz --out masked.png",
    ),
    Command(
        "eval",
        "score a model on questions or captions, with blank and exchanged pictures as controls",
        "ojito.commands.eval",
        (
            MODEL,
            _argument("data", type=_word, metavar="DATA", help="folder, .jsonl or .csv, or scenes or photos16"),
            _argument(
                "--split", type=_word, metavar="NAME", help="which rows (default: the recipe's, dev; or the only one)"
            ),
            _argument("--limit", type=int, metavar="N", help="only the first N rows"),
            _argument("--no-controls", action="store_true", help="leave out the controls, a third of the time"),
            _argument("--report", type=_word, metavar="FILE", help="also write a page with the pictures, report.html"),
            _argument("--max-new-tokens", type=int, default=64, metavar="N", help="the longest answer (default 64)"),
            _argument("--batch-size", type=int, default=64, metavar="N", help="questions at once (default 64)"),
        ),
        "ojito eval runs/mine captions.jsonl --split dev --json",
    ),
    Command(
        "convert",
        "write a model in the form of Hugging Face, which transformers loads, or in Ojito's own",
        "ojito.commands.convert",
        (
            MODEL,
            _argument("--out", type=_word, required=True, metavar="FOLDER", help="where to put it"),
            _argument(
                "--to", default="huggingface", choices=("huggingface", "ojito"), help="the form (default huggingface)"
            ),
            _argument(
                "--dtype", choices=("float32", "bfloat16", "float16"), help="of the weights (default: what they have)"
            ),
            _argument("--force", action="store_true", help="replace the model that --out holds"),
        ),
        "ojito convert runs/mine --out exported --dtype bfloat16",
    ),
    Command(
        "info",
        "show the parts of a model, their parameters, and the memory that it takes",
        "ojito.commands.info",
        (MODEL,),
        "ojito info paligemma-3b-224",
    ),
    Command("presets", "list the models to start from", "ojito.commands.presets", (), "ojito presets"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: Its words, without "ojito"; None takes those that the program was started with.

    Returns:
        The exit code: 0, 2 for a mistake in the input, 130 for Ctrl-C.
    """
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a closed pipe is still caught
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python flushes once more at its end; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ValueError, OSError) as error:
        if os.environ.get(DEBUG) or not _is_mistake(error):
            raise
        print(f"ojito: error: {_message(error)}", file=sys.stderr)
        return MISTAKE


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"ojito {ojito.__version__}")
        return 0
    commands = {command.name: command for command in COMMANDS}
    if words[0] not in commands:
        raise UsageError(f"{words[0]!r} is not a command; {_nearest(words[0], list(commands))}")
    command = commands[words[0]]
    parser = _parser(command)
    if "-h" in words or "--help" in words:
        print(parser.format_help(), end="")
        return 0
    # Intermixed, so that key=value may stand between flags.
    args, unknown = parser.parse_known_intermixed_args(words[1:])
    if unknown:
        flags = [name for argument in (*command.arguments, *COMMON) for name in argument.names if name[0] == "-"]
        hint = _nearest(unknown[0].partition("=")[0], flags) if unknown[0][0] == "-" else f"see `{parser.prog} --help`"
        raise UsageError(f"{command.name} does not take {unknown[0]!r}; {hint}")
    return int(importlib.import_module(command.module).run(args))


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors as our one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


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
    common = parser.add_argument_group("every command")
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
            "Small vision-language models, to understand, train and run.\n",
            *rows,
            "\n`ojito COMMAND --help` tells more. From your own pictures to a model that answers:\n",
            *examples,
            f"\n{DEBUG}=1 shows where in the code an error comes from.",
        ]
    )


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"


def _is_mistake(error: BaseException) -> bool:
    """Whether our own code refused the input, or the system a file. A ValueError from elsewhere is a bug of ours."""
    if isinstance(error, OSError):
        return error.filename is not None or error.errno is not None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    raised_here = Path(__file__).parent in Path(frame.f_code.co_filename).parents
    return raised_here or type(error).__module__.startswith("ojito.")


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    return str(error)
