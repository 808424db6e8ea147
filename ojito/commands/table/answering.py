"""Commands for asking models about images: their arguments, help texts and examples."""

from ojito.commands.arguments import BASE, LOOKING, MAX_PIXELS, MMPROJ, MODEL, SAMPLING, STATS, STORED, argument, word
from ojito.commands.table.command import Command

ANSWERING = (
    Command(
        "caption",
        "describe images",
        "ojito.commands.caption",
        (
            MODEL,
            argument("images", nargs="+", type=word, metavar="IMAGE", help="image files, or folders of them"),
            MMPROJ,
            BASE,
            *STORED,
            argument(
                "--out",
                type=word,
                metavar="FILE",
                help="write captions.csv or .jsonl instead; images that it has already are skipped",
            ),
            argument("--recursive", action="store_true", help="also the images in folders below"),
            MAX_PIXELS,
            *SAMPLING,
            argument("--batch-size", type=int, default=16, metavar="N", help="images at once (default 16)"),
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
            argument("image", nargs="?", type=word, metavar="IMAGE", help="an image file, unless --no-image is given"),
            argument(
                "question",
                nargs="?",
                metavar="QUESTION",
                help="left out: questions from stdin, one per line",
            ),
            STATS,
            argument("--no-image", action="store_true", help="ask without an image, as a model of text alone is asked"),
            argument("--system", metavar="TEXT", help="the system message (default: the model's own, if it has one)"),
            MMPROJ,
            BASE,
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
        (MODEL, BASE, *LOOKING, *STORED, *SAMPLING[1:]),
        'ojito detect runs/mine photo.jpg "cat ; dog" --out boxed.png',
    ),
    Command(
        "segment",
        "find objects in an image and draw masks, with a PaliGemma model",
        "ojito.commands.segment",
        (
            MODEL,
            BASE,
            *LOOKING,
            *STORED,
            argument(
                "--weights",
                type=word,
                required=True,
                metavar="FILE",
                help="the mask decoder, vae-oid.npz, published by big_vision",
            ),
            argument(
                "--masks",
                type=word,
                metavar="FOLDER",
                help="also write each mask, white on black, to a new or empty folder: 1-cat.png, ...",
            ),
            *SAMPLING[1:],
        ),
        "ojito segment runs/mine photo.jpg cat --weights vae-oid.npz --out masked.png",
    ),
)
