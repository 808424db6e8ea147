"""All commands: their arguments, help texts and examples."""

import argparse
from typing import Any, NamedTuple

from ojito.errors import OjitoError


class Argument(NamedTuple):
    """A positional argument or flag of a command, as argparse's `add_argument` takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


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


def _argument(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


def _word(text: str) -> str:
    """A path or a name. An empty one would mean the current folder, or be taken for one that was not given."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty; give a path or a name")
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write for example 4") from None


def _seed(text: str) -> int:
    """A seed, as `train.seed` takes it."""
    from ojito.config.rules import check_seed  # not at the top: `--help` needs no YAML

    seed = _whole(text)
    try:
        check_seed(seed)
    except OjitoError as error:
        raise argparse.ArgumentTypeError(f"{error.problem}; {error.remedy}") from None
    return seed


def _pixels(text: str) -> int:
    """A number of pixels, as `processor.image.max_pixels` takes it."""
    pixels = _whole(text)
    if pixels < 1:
        raise argparse.ArgumentTypeError(f"{pixels} must be greater than 0")
    return pixels


def _counts(text: str) -> tuple[int, ...]:
    """Counts with commas between them: 1,8."""
    counts = tuple(_whole(part) for part in text.split(","))
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{min(counts)} must be greater than 0")
    return counts


def _count(text: str) -> int:
    (count,) = _counts(text.replace(",", " "))
    return count


COMMON = (
    _argument("--json", action="store_true", help="write JSON to stdout, and nothing else"),
    _argument("--device", default="auto", help="auto (the GPU if there is one; default), cpu, cuda, cuda:1, mps"),
    _argument("--seed", type=_seed, metavar="N", help="seed of the random numbers (default 0)"),
)

MODEL = _argument(
    "model",
    type=_word,
    metavar="MODEL",
    help="a model folder, a GGUF file, owner/name on the Hugging Face Hub, or a preset or recipe (random weights)",
)

MMPROJ = _argument(
    "--mmproj",
    type=_word,
    metavar="FILE",
    help="the vision tower of a MODEL in GGUF (default: that beside it in a folder)",
)

MAX_PIXELS = _argument(
    "--max-pixels", type=_pixels, metavar="N", help="refuse larger images (default: the limit in the model's settings)"
)

STATS = _argument(
    "--stats", action="store_true", help="also tell the seconds and the memory that loading and answering took"
)

STORED = (
    _argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="dtype to compute in (default: bfloat16 where the device multiplies it fast, else float32)",
    ),
    _argument(
        "--quantize",
        default="none",
        choices=("none", "int8", "int4"),
        help="how the matrices are stored: in the dtype (none; default), in a byte a number, in half of one",
    ),
)

BEAMS = (
    _argument("--beams", type=int, default=1, metavar="N", help="beams of beam search, such as 4; 1 (default) is none"),
    _argument(
        "--length-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="with --beams: above 1 (default), longer answers are favoured, below, shorter ones",
    ),
)

SAMPLING = (
    _argument("--max-new-tokens", type=int, default=64, metavar="N", help="longest answer, in tokens (default 64)"),
    _argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sample tokens; 0 (default) always takes the likeliest",
    ),
    _argument("--top-k", type=int, metavar="K", help="sample among the K likeliest tokens"),
    _argument("--top-p", type=float, metavar="P", help="sample among the likeliest tokens that add up to P"),
    *BEAMS,
    _argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="R",
        help="above 1, repeats become less likely",
    ),
    _argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end the answer before this text; may be repeated",
    ),
)

LOOKING = (
    _argument("image", type=_word, metavar="IMAGE", help="an image file"),
    _argument("things", metavar="THINGS", help='what to look for: cat, or "cat ; dog"'),
    _argument(
        "--out",
        type=_word,
        metavar="FILE",
        help="also write the image with the results drawn in, as .png, .jpg, .webp or .bmp",
    ),
    MAX_PIXELS,
    _argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (default 256)"),
)

COMMANDS = (
    Command(
        "demo",
        "train a small model on drawn scenes, and report what it sees",
        "ojito.commands.demo",
        (
            _argument(
                "--preset",
                type=_word,
                default="tiny",
                metavar="NAME",
                help="tiny (two minutes; default) or scenes (twenty minutes)",
            ),
            _argument(
                "--out",
                type=_word,
                default="runs/demo",
                metavar="FOLDER",
                help="where to write (default runs/demo)",
            ),
            _argument("--minutes", type=float, metavar="M", help="training time (default: the preset's)"),
            _argument("--short", action="store_true", help="a few seconds of training, to see that it works"),
        ),
        "ojito demo",
    ),
    Command(
        "train",
        "train a model on your own images, or on a built-in data set",
        "ojito.commands.train",
        (
            _argument(
                "--preset",
                type=_word,
                metavar="NAME",
                help="preset to start from, or a recipe in YAML (default tiny); see `ojito presets`",
            ),
            _argument(
                "--from",
                dest="base",
                type=_word,
                metavar="MODEL",
                help="start from the weights and recipe of this model instead",
            ),
            _argument("--config", type=_word, metavar="FILE", help="a recipe in YAML; overrides the preset"),
            _argument(
                "--data",
                type=_word,
                metavar="PATH",
                help="a file or folder, in any form of docs/data.md, scenes, or photos16; overrides both",
            ),
            _argument("--steps", type=int, metavar="N", help="training length, in optimizer steps"),
            _argument(
                "--minutes",
                type=float,
                metavar="M",
                help="training length, in minutes; with --steps, whichever ends first",
            ),
            _argument("--out", type=_word, metavar="FOLDER", help="where to write the model (default runs/NAME)"),
            _argument("--force", action="store_true", help="replace the model in --out"),
            _argument("--print-config", action="store_true", help="print the complete recipe as YAML, and exit"),
            _argument(
                "settings",
                nargs="*",
                metavar="key=value",
                help="any setting, such as train.lr=3e-4; see `ojito settings`",
            ),
        ),
        "ojito train --preset tiny --data captions.jsonl --out runs/mine --steps 500",
    ),
    Command(
        "data",
        "show what is understood of data: rows, splits, kinds, lengths, images, and what is wrong",
        "ojito.commands.data",
        (
            _argument(
                "data", type=_word, metavar="PATH", help="a file or folder, in any form of docs/data.md, or photos16"
            ),
            _argument(
                "--html", type=_word, metavar="FILE", help="also write a web page of examples, such as data.html"
            ),
            _argument(
                "--preset",
                type=_word,
                metavar="NAME",
                help="read as training this preset does; the page shows tokens, and which of them are learned",
            ),
            _argument("--model", type=_word, metavar="MODEL", help="the same for a model folder, or owner/name"),
            _argument(
                "--examples", type=int, default=24, metavar="N", help="examples of the page and of --json (default 24)"
            ),
        ),
        "ojito data captions.jsonl --preset tiny --html data.html",
    ),
    Command(
        "build",
        "join a public vision tower and a public decoder to a new model for training",
        "ojito.commands.build",
        (
            _argument(
                "--vision",
                type=_word,
                required=True,
                metavar="MODEL",
                help="model whose vision tower is used: one of `ojito parts`, a folder, owner/name, or a preset",
            ),
            _argument(
                "--decoder",
                type=_word,
                required=True,
                metavar="MODEL",
                help="model whose decoder and tokenizer are used: a folder, or owner/name",
            ),
            _argument(
                "--connector",
                metavar="NAME",
                help="mlp (default), linear, pixel_shuffle:2, average_pool:2, perceiver:64",
            ),
            _argument(
                "--like",
                default="",
                metavar="FAMILY",
                help="follow a public family, so that the model can be exported as one: llava (as any mlp), paligemma "
                "(linear), idefics3 (pixel_shuffle); average pools and perceivers stay with Ojito",
            ),
            _argument("--out", type=_word, required=True, metavar="FOLDER", help="where to write the model"),
            _argument("--force", action="store_true", help="replace the model in --out"),
            _argument("settings", nargs="*", metavar="key=value", help="any setting, such as train.lr=3e-4"),
        ),
        "ojito build --vision google/siglip-base-patch16-224 --decoder HuggingFaceTB/SmolLM2-135M --out runs/new",
    ),
    Command(
        "caption",
        "describe images",
        "ojito.commands.caption",
        (
            MODEL,
            _argument("images", nargs="+", type=_word, metavar="IMAGE", help="image files, or folders of them"),
            MMPROJ,
            *STORED,
            _argument(
                "--out",
                type=_word,
                metavar="FILE",
                help="write captions.csv or .jsonl instead; images that it has already are skipped",
            ),
            _argument("--recursive", action="store_true", help="also the images in folders below"),
            MAX_PIXELS,
            *SAMPLING,
            _argument("--batch-size", type=int, default=16, metavar="N", help="images at once (default 16)"),
            STATS,
        ),
        "ojito caption runs/mine photo.jpg",
    ),
    Command(
        "ask",
        "ask about an image; without a question, chat about it",
        "ojito.commands.ask",
        (
            MODEL,
            _argument(
                "image", nargs="?", type=_word, metavar="IMAGE", help="an image file, unless --no-image is given"
            ),
            _argument(
                "question",
                nargs="?",
                metavar="QUESTION",
                help="left out: questions from stdin, one per line",
            ),
            STATS,
            _argument(
                "--no-image", action="store_true", help="ask without an image, as a model of text alone is asked"
            ),
            _argument("--system", metavar="TEXT", help="the system message (default: the model's own, if it has one)"),
            MMPROJ,
            *STORED,
            MAX_PIXELS,
            *SAMPLING,
        ),
        'ojito ask runs/mine photo.jpg "what is it?"',
    ),
    Command(
        "detect",
        "find objects in an image and draw boxes, with a PaliGemma model",
        "ojito.commands.detect",
        (MODEL, *LOOKING, *STORED, *SAMPLING[1:]),
        'ojito detect runs/mine photo.jpg "cat ; dog" --out boxed.png',
    ),
    Command(
        "segment",
        "find objects in an image and draw masks, with a PaliGemma model",
        "ojito.commands.segment",
        (
            MODEL,
            *LOOKING,
            *STORED,
            _argument(
                "--weights",
                type=_word,
                required=True,
                metavar="FILE",
                help="the mask decoder, vae-oid.npz, published by big_vision",
            ),
            _argument(
                "--masks",
                type=_word,
                metavar="FOLDER",
                help="also write each mask, white on black, to a new or empty folder: 1-cat.png, ...",
            ),
            *SAMPLING[1:],
        ),
        "ojito segment runs/mine photo.jpg cat --weights vae-oid.npz --out masked.png",
    ),
    Command(
        "eval",
        "score a model on questions or captions, with blank and swapped images as controls",
        "ojito.commands.eval",
        (
            MODEL,
            _argument(
                "data",
                type=_word,
                metavar="DATA",
                help="a file or folder, in any form of docs/data.md, scenes, or photos16",
            ),
            _argument(
                "--split",
                type=_word,
                metavar="NAME",
                help="split to score (default: what training held out, the recipe's, dev, or the only one)",
            ),
            _argument("--limit", type=int, metavar="N", help="only N rows, drawn by --seed"),
            _argument("--no-controls", action="store_true", help="skip the controls; takes a third of the time"),
            *STORED,
            _argument(
                "--compare",
                type=_word,
                metavar="MODEL",
                help="also ask this model, and tell how the two differ, such as a quantized one from the original",
            ),
            _argument(
                "--report",
                type=_word,
                metavar="FILE",
                help="also write a web page with images, such as report.html",
            ),
            _argument(
                "--out",
                type=_word,
                metavar="FOLDER",
                help="also write predictions.jsonl, scores.json and report.html there",
            ),
            _argument(
                "--max-new-tokens",
                type=int,
                metavar="N",
                help="longest answer, in tokens (default: what the longest expected answer takes, 64 at least)",
            ),
            *BEAMS,
            _argument("--batch-size", type=int, default=64, metavar="N", help="answers at once (default 64)"),
            _argument(
                "settings",
                nargs="*",
                metavar="key=value",
                help="settings of data, such as data.max_bad=0.5, and processor.image.max_pixels",
            ),
        ),
        "ojito eval runs/mine captions.jsonl --split dev --json",
    ),
    Command(
        "convert",
        "write a model in the form that transformers or llama.cpp loads, or in Ojito's own",
        "ojito.commands.convert",
        (
            MODEL,
            MMPROJ,
            _argument("--out", type=_word, required=True, metavar="FOLDER", help="where to write it"),
            _argument(
                "--to",
                choices=("huggingface", "gguf", "ojito"),
                help="huggingface (default) for families that transformers has, such as LLaVA, PaliGemma, Idefics3 and "
                "Gemma 3, and for nanoVLM; gguf for those that llama.cpp has; ojito for any model",
            ),
            _argument(
                "--dtype", choices=("float32", "bfloat16", "float16"), help="dtype of the weights (default: unchanged)"
            ),
            _argument(
                "--quantize",
                choices=("int8", "int4"),
                help="store the matrices in a byte a number, or in half of one, in Ojito's own form",
            ),
            _argument("--force", action="store_true", help="replace the model in --out"),
        ),
        "ojito convert runs/mine --to ojito --dtype bfloat16 --out smaller",
    ),
    Command(
        "info",
        "show the parts of a model, its parameters, and the memory that it takes",
        "ojito.commands.info",
        (
            MODEL,
            MMPROJ,
            *STORED,
            _argument("--batch", type=_count, default=1, metavar="N", help="questions answered at once (default 1)"),
            _argument("--prompt-tokens", type=_count, metavar="N", help="tokens of text in each (default 8)"),
            _argument("--tokens", type=_count, metavar="N", help="tokens of each answer (default 20)"),
        ),
        "ojito info paligemma-3b-224 --batch 8 --quantize int8",
    ),
    Command(
        "bench",
        "measure what an answer costs: load, image, first token, tokens a second, memory",
        "ojito.commands.bench",
        (
            MODEL,
            *STORED,
            _argument(
                "--batch", type=_counts, default=(1,), metavar="N,...", help="questions asked at once (default 1)"
            ),
            _argument(
                "--prompt-tokens", type=_counts, metavar="N,...", help="tokens of text in each question (default 8)"
            ),
            _argument("--prompt", metavar="TEXT", help="ask this, in place of random tokens"),
            _argument("--tokens", type=_count, default=20, metavar="N", help="tokens of each answer (default 20)"),
            _argument(
                "--image-size", type=_count, metavar="N", help="of a preset: pixels of a side (default: the preset's)"
            ),
            _argument(
                "--threads", type=_count, metavar="N", help="threads to compute with (default: PyTorch's number)"
            ),
            _argument(
                "--rounds",
                type=_count,
                default=3,
                metavar="N",
                help="answers that the medians are of, after a first one (default 3)",
            ),
            _argument("--out", type=_word, metavar="FILE", help="also write a web page, such as bench.html"),
        ),
        "ojito bench tiny --batch 1,8 --prompt-tokens 8,64 --out bench.html",
    ),
    Command("parts", "list the vision towers and decoders to build with", "ojito.commands.parts", (), "ojito parts"),
    Command("presets", "list the models to start from", "ojito.commands.presets", (), "ojito presets"),
    Command(
        "settings",
        "list the settings of a recipe, with type, default and meaning",
        "ojito.commands.settings",
        (_argument("group", nargs="?", type=_word, metavar="GROUP", help="only this group, such as model.decoder"),),
        "ojito settings train",
    ),
)
