"""Commands for making models: their arguments, help texts and examples."""

from ojito.commands.arguments import BASE, argument, count, word
from ojito.commands.table.command import Command

TRAINING = (
    Command(
        "demo",
        "train a small model on drawn scenes, and report what it sees",
        "ojito.commands.demo",
        (
            argument(
                "--preset",
                type=word,
                default="tiny",
                metavar="NAME",
                help="tiny (two minutes; default) or scenes (twenty minutes)",
            ),
            argument(
                "--out",
                type=word,
                default="runs/demo",
                metavar="FOLDER",
                help="where to write (default runs/demo)",
            ),
            argument("--minutes", type=float, metavar="M", help="training time (default: the preset's)"),
            argument("--short", action="store_true", help="a few seconds of training, to see that it works"),
        ),
        "ojito demo",
    ),
    Command(
        "train",
        "train a model on your own images, or on a built-in data set",
        "ojito.commands.train",
        (
            argument(
                "--preset",
                type=word,
                metavar="NAME",
                help="preset to start from, or a recipe in YAML (default tiny); see `ojito presets`",
            ),
            argument(
                "--from",
                dest="base",
                type=word,
                metavar="MODEL",
                help="start from the weights and recipe of this model instead",
            ),
            BASE._replace(options={**BASE.options, "help": "the model that --from, an adapter, belongs to"}),
            argument("--config", type=word, metavar="FILE", help="a recipe in YAML; overrides the preset"),
            argument(
                "--data",
                type=word,
                metavar="PATH",
                help="a file or folder, in any form of docs/data.md, scenes, or photos16; overrides both",
            ),
            argument("--steps", type=int, metavar="N", help="training length, in optimizer steps"),
            argument(
                "--minutes",
                type=float,
                metavar="M",
                help="training length, in minutes; with --steps, whichever ends first",
            ),
            argument("--out", type=word, metavar="FOLDER", help="where to write the model (default runs/NAME)"),
            argument("--force", action="store_true", help="replace the model in --out"),
            argument(
                "--resume",
                choices=("no", "auto", "must"),
                default="no",
                help="auto: go on with the run in --out, or begin it; must: go on with it. The same command again and "
                "again, until it ends with exit code 0",
            ),
            argument("--save-every", type=int, metavar="N", help="save a checkpoint every N steps"),
            argument("--print-config", action="store_true", help="print the complete recipe as YAML, and exit"),
            argument(
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
            argument(
                "data", type=word, metavar="PATH", help="a file or folder, in any form of docs/data.md, or photos16"
            ),
            argument("--html", type=word, metavar="FILE", help="also write a web page of examples, such as data.html"),
            argument(
                "--preset",
                type=word,
                metavar="NAME",
                help="read as training this preset does; the page shows tokens, and which of them are learned",
            ),
            argument("--model", type=word, metavar="MODEL", help="the same for a model folder, or owner/name"),
            argument(
                "--examples", type=int, default=24, metavar="N", help="examples of the page and of --json (default 24)"
            ),
        ),
        "ojito data captions.jsonl --preset tiny --html data.html",
    ),
    Command(
        "pack-data",
        "write data as tar archives in WebDataset's layout, which are read from any place at once",
        "ojito.commands.pack_data",
        (
            argument("data", type=word, metavar="PATH", help="a file or folder, in any form of docs/data.md"),
            argument("--out", type=word, required=True, metavar="FOLDER", help="where to write them: a new folder"),
            argument("--shard-mb", type=count, default=256, metavar="N", help="size of an archive, MiB (default 256)"),
            argument("--force", action="store_true", help="replace the archives in --out"),
            argument("settings", nargs="*", metavar="key=value", help="settings of data, such as data.max_bad=0.5"),
        ),
        "ojito pack-data captions.jsonl --out packed",
    ),
    Command(
        "build",
        "join a public vision tower and a public decoder to a new model for training",
        "ojito.commands.build",
        (
            argument(
                "--vision",
                type=word,
                required=True,
                metavar="MODEL",
                help="model whose vision tower is used: one of `ojito parts`, a folder, owner/name, or a preset",
            ),
            argument(
                "--decoder",
                type=word,
                required=True,
                metavar="MODEL",
                help="model whose decoder and tokenizer are used: a folder, or owner/name",
            ),
            argument(
                "--connector",
                metavar="NAME",
                help="mlp (default), linear, pixel_shuffle:2, average_pool:2, perceiver:64",
            ),
            argument(
                "--like",
                default="",
                metavar="FAMILY",
                help="follow a public family, so that the model can be exported as one: llava (as any mlp), paligemma "
                "(linear), idefics3 (pixel_shuffle); average pools and perceivers stay with Ojito",
            ),
            argument("--out", type=word, required=True, metavar="FOLDER", help="where to write the model"),
            argument("--force", action="store_true", help="replace the model in --out"),
            argument("settings", nargs="*", metavar="key=value", help="any setting, such as train.lr=3e-4"),
        ),
        "ojito build --vision google/siglip-base-patch16-224 --decoder HuggingFaceTB/SmolLM2-135M --out runs/new",
    ),
)
