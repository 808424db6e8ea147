"""Arguments of commands: how their values are read, and those that several commands share."""

import argparse
from typing import Any, NamedTuple

from ojito.errors import OjitoError


class Argument(NamedTuple):
    """A positional argument or flag of a command, as argparse's `add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


def argument(*names: str, **options: Any) -> Argument:
    """An argument of a command, written as for argparse's `add_argument`."""
    return Argument(names, options)


def word(text: str) -> str:
    """A path or a name. An empty one would mean the current folder, or be taken for one that was not given."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty; give a path or a name")
    return text


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write for example 4") from None


def seed(text: str) -> int:
    """A seed, as `train.seed` takes it."""
    from ojito.config.rules import check_seed  # not at the top: `--help` needs no YAML

    number = whole(text)
    try:
        check_seed(number)
    except OjitoError as error:
        raise argparse.ArgumentTypeError(f"{error.problem}; {error.remedy}") from None
    return number


def pixels(text: str) -> int:
    """A number of pixels, as `processor.image.max_pixels` takes it."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} must be greater than 0")
    return number


def counts(text: str) -> tuple[int, ...]:
    """Counts with commas between them: 1,8."""
    found = tuple(whole(part) for part in text.split(","))
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{min(found)} must be greater than 0")
    return found


def count(text: str) -> int:
    """A count: a whole number greater than 0."""
    (number,) = counts(text.replace(",", " "))
    return number


COMMON = (
    argument("--json", action="store_true", help="write JSON to stdout, and nothing else"),
    argument("--device", default="auto", help="auto (the GPU if there is one; default), cpu, cuda, cuda:1, mps"),
    argument("--seed", type=seed, metavar="N", help="seed of the random numbers (default 0)"),
)

MODEL = argument(
    "model",
    type=word,
    metavar="MODEL",
    help="a model folder, a GGUF file, owner/name on the Hugging Face Hub, or a preset or recipe (random weights)",
)

MMPROJ = argument(
    "--mmproj",
    type=word,
    metavar="FILE",
    help="the vision tower of a MODEL in GGUF (default: that beside it in a folder)",
)

BASE = argument(
    "--base",
    dest="adapter_base",
    type=word,
    metavar="MODEL",
    help="the model that MODEL, an adapter of LoRA, belongs to (default: the one that the adapter names)",
)

MAX_PIXELS = argument(
    "--max-pixels", type=pixels, metavar="N", help="refuse larger images (default: the limit in the model's settings)"
)

STATS = argument(
    "--stats", action="store_true", help="also tell the seconds and the memory that loading and answering took"
)

STORED = (
    argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="dtype to compute in (default: bfloat16 where the device multiplies it fast, else float32)",
    ),
    argument(
        "--quantize",
        default="none",
        choices=("none", "int8", "int4"),
        help="how the matrices are stored: in the dtype (none; default), in a byte a number, in half of one",
    ),
)

BEAMS = (
    argument("--beams", type=int, default=1, metavar="N", help="beams of beam search, such as 4; 1 (default) is none"),
    argument(
        "--length-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="with --beams: above 1 (default), longer answers are favoured, below, shorter ones",
    ),
)

SAMPLING = (
    argument("--max-new-tokens", type=int, default=64, metavar="N", help="longest answer, in tokens (default 64)"),
    argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sample tokens; 0 (default) always takes the likeliest",
    ),
    argument("--top-k", type=int, metavar="K", help="sample among the K likeliest tokens"),
    argument("--top-p", type=float, metavar="P", help="sample among the likeliest tokens that add up to P"),
    *BEAMS,
    argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="R",
        help="above 1, repeats become less likely",
    ),
    argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end the answer before this text; may be repeated",
    ),
)

LOOKING = (
    argument("image", type=word, metavar="IMAGE", help="an image file"),
    argument("things", metavar="THINGS", help='what to look for: cat, or "cat ; dog"'),
    argument(
        "--out",
        type=word,
        metavar="FILE",
        help="also write the image with the results drawn in, as .png, .jpg, .webp or .bmp",
    ),
    MAX_PIXELS,
    argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (default 256)"),
)
