"""All commands: their arguments, help texts and examples."""

from typing import NamedTuple

from ojito.commands.arguments import (
    BASE,
    BEAMS,
    LOOKING,
    MAX_PIXELS,
    MMPROJ,
    MODEL,
    SAMPLING,
    STATS,
    STORED,
    Argument,
    argument,
    count,
    counts,
    word,
)
from ojito.probe.methods import METHODS


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


COMMANDS = (
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
        "look",
        "show what each word of an answer rests on, and where in the image that is",
        "ojito.commands.look",
        (
            MODEL,
            argument("image", type=word, metavar="IMAGE", help="an image file"),
            argument("--prompt", default="", metavar="TEXT", help="the question (default: ask for a caption)"),
            argument("--answer", metavar="TEXT", help="look at this answer (default: the model's own)"),
            argument("--word", metavar="TEXT", help="the word of the answer to map (default: each, in small)"),
            argument(
                "--out", type=word, metavar="FILE", help="draw the map over the image, as .png, .jpg, .webp or .bmp"
            ),
            argument(
                "--method",
                choices=METHODS,
                help="relevance: attention by its gradient (default); attention; rollout: attention through all "
                "layers; gradient: of the pixels; occlusion: what is lost when a part is covered",
            ),
            argument("--layer", type=int, metavar="N", help="attention of one layer, from 0 (default: their mean)"),
            argument("--head", type=int, metavar="N", help="attention of one head, from 0 (default: their mean)"),
            argument("--cells", type=count, default=6, metavar="N", help="with occlusion: cells a side (default 6)"),
            argument(
                "--max-new-tokens", type=int, default=64, metavar="N", help="longest answer, in tokens (default 64)"
            ),
            MMPROJ,
            BASE,
            *STORED,
            MAX_PIXELS,
        ),
        'ojito look runs/mine photo.jpg --prompt "what is it?" --out map.png',
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
    Command(
        "eval",
        "score a model on questions or captions, with blank and swapped images as controls",
        "ojito.commands.eval",
        (
            MODEL,
            BASE,
            argument(
                "data",
                type=word,
                metavar="DATA",
                help="a file or folder, in any form of docs/data.md, scenes, or photos16",
            ),
            argument(
                "--split",
                type=word,
                metavar="NAME",
                help="split to score (default: what training held out, the recipe's, dev, or the only one)",
            ),
            argument("--limit", type=int, metavar="N", help="only N rows, drawn by --seed"),
            argument("--no-controls", action="store_true", help="skip the controls; takes a third of the time"),
            argument(
                "--controls",
                type=word,
                metavar="NAME,NAME",
                help="ask with less of the image: none, blank, exchanged, half, shuffled, blurred, or all, and tell "
                "the loss of the expected answers as well (default: blank,exchanged)",
            ),
            argument(
                "--metrics",
                type=word,
                metavar="NAME,NAME",
                help="scores for all questions, such as anls or cider,bleu_1; perplexity and circular_choice take "
                "another pass (default: the usual ones)",
            ),
            *STORED,
            argument(
                "--compare",
                type=word,
                metavar="MODEL",
                help="also ask this model, and tell how the two differ, such as a quantized one from the original",
            ),
            argument(
                "--report",
                type=word,
                metavar="FILE",
                help="also write a web page with images, such as report.html",
            ),
            argument(
                "--out",
                type=word,
                metavar="FOLDER",
                help="also write predictions.jsonl, scores.json and report.html there",
            ),
            argument(
                "--look",
                type=count,
                metavar="N",
                help="in the report, draw where the answers to N of its questions come from, the worst first",
            ),
            argument(
                "--look-method",
                choices=METHODS,
                help="how, as `ojito look --method` does (default: relevance, or occlusion where that has no map)",
            ),
            argument(
                "--max-new-tokens",
                type=int,
                metavar="N",
                help="longest answer, in tokens (default: what the longest expected answer takes, 64 at least)",
            ),
            *BEAMS,
            argument("--batch-size", type=int, default=64, metavar="N", help="answers at once (default 64)"),
            argument(
                "settings",
                nargs="*",
                metavar="key=value",
                help="settings of data, such as data.max_bad=0.5, and processor.image.max_pixels",
            ),
        ),
        "ojito eval runs/mine captions.jsonl --split dev --json",
    ),
    Command(
        "compare",
        "tell whether two evaluations differ by more than chance, and on which questions",
        "ojito.commands.compare",
        (
            argument("run_a", type=word, metavar="RUN_A", help="what `ojito eval --out` wrote"),
            argument("run_b", type=word, metavar="RUN_B", help="the same of another model, on the same data"),
            argument("--metrics", type=word, metavar="NAME,NAME", help="as for `ojito eval`"),
            argument(
                "--out",
                type=word,
                metavar="FILE",
                help="also write a web page with both runs side by side, such as compare.html",
            ),
            argument(
                "--limit",
                type=count,
                metavar="N",
                help="with --out: the most questions on the page, those first that differ (default 200)",
            ),
        ),
        "ojito compare runs/mine-eval runs/other-eval --out compare.html",
    ),
    Command(
        "doctor",
        "examine a model, or a server, for faults that no loss and no message shows",
        "ojito.commands.doctor",
        (
            MODEL._replace(options={**MODEL.options, "nargs": "?"}),
            argument(
                "data",
                nargs="?",
                type=word,
                metavar="DATA",
                help="rows with answers that the model should know: a file or folder in any form of docs/data.md, or "
                "scenes (default: scenes, and only what needs no knowledge of them)",
            ),
            argument("--split", type=word, metavar="NAME", help="split of DATA (default: the recipe's)"),
            argument("--limit", type=count, default=32, metavar="N", help="the most rows (default 32)"),
            MMPROJ,
            BASE,
            *STORED,
            argument(
                "--url",
                type=word,
                metavar="URL",
                help="examine this OpenAI-compatible server instead, such as http://127.0.0.1:8000/v1",
            ),
            argument(
                "--model",
                dest="served",
                type=word,
                metavar="NAME",
                help="with --url: name of the model (default: the first that the server lists)",
            ),
            argument(
                "--key-env",
                type=word,
                metavar="NAME",
                help="with --url: the environment variable that holds the server's key",
            ),
            argument(
                "--out",
                type=word,
                metavar="FILE",
                help="also write a web page with the findings and the images that they rest on, such as doctor.html",
            ),
        ),
        "ojito doctor runs/mine captions.jsonl",
    ),
    Command(
        "convert",
        "write a model in the form that transformers or llama.cpp loads, or in Ojito's own",
        "ojito.commands.convert",
        (
            MODEL,
            MMPROJ,
            BASE,
            argument("--out", type=word, required=True, metavar="FOLDER", help="where to write it"),
            argument(
                "--to",
                choices=("huggingface", "gguf", "ojito"),
                help="huggingface (default) for families that transformers has, such as LLaVA, PaliGemma, Idefics3 and "
                "Gemma 3, and for nanoVLM; gguf for those that llama.cpp has; ojito for any model",
            ),
            argument(
                "--dtype", choices=("float32", "bfloat16", "float16"), help="dtype of the weights (default: unchanged)"
            ),
            argument(
                "--quantize",
                choices=("int8", "int4"),
                help="store the matrices in a byte a number, or in half of one, in Ojito's own form",
            ),
            argument("--force", action="store_true", help="replace the model in --out"),
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
            BASE,
            *STORED,
            argument(
                "--train",
                nargs="*",
                type=word,
                metavar="key=value",
                help="the memory of a training step instead, with these settings, such as train.checkpoint=[vision]",
            ),
            argument(
                "--batch",
                type=count,
                metavar="N",
                help="questions answered at once (default 1), or rows of a step (default: the recipe's)",
            ),
            argument(
                "--prompt-tokens", type=count, metavar="N", help="tokens of text in each (default 8; of a step 24)"
            ),
            argument("--tokens", type=count, metavar="N", help="tokens of each answer (default 20; of a step 40)"),
        ),
        "ojito info paligemma-3b-224 --batch 8 --quantize int8",
    ),
    Command(
        "trace",
        "tell the way of an image and words through a model, module by module, or draw the model",
        "ojito.commands.trace",
        (
            MODEL,
            argument(
                "image",
                nargs="?",
                type=word,
                metavar="IMAGE",
                help="an image file; with --svg it may be left out, and the model is drawn without its weights",
            ),
            argument("prompt", nargs="?", metavar="PROMPT", help="what is asked (default: for a caption)"),
            argument("--no-image", action="store_true", help="ask without an image"),
            argument(
                "--depth",
                type=count,
                default=2,
                metavar="N",
                help="levels of modules: 1 the parts alone, 2 (default) with what they are made of, 3 and more below",
            ),
            argument("--svg", type=word, metavar="FILE", help="draw the architecture, for example architecture.svg"),
            MMPROJ,
            BASE,
            *STORED,
            MAX_PIXELS,
        ),
        'ojito trace runs/mine photo.jpg "what is it?"',
    ),
    Command(
        "bench",
        "measure what an answer costs: load, image, first token, tokens a second, memory",
        "ojito.commands.bench",
        (
            MODEL,
            *STORED,
            argument("--batch", type=counts, default=(1,), metavar="N,...", help="questions asked at once (default 1)"),
            argument(
                "--prompt-tokens", type=counts, metavar="N,...", help="tokens of text in each question (default 8)"
            ),
            argument("--prompt", metavar="TEXT", help="ask this, in place of random tokens"),
            argument("--tokens", type=count, default=20, metavar="N", help="tokens of each answer (default 20)"),
            argument(
                "--image-size", type=count, metavar="N", help="of a preset: pixels of a side (default: the preset's)"
            ),
            argument("--threads", type=count, metavar="N", help="threads to compute with (default: PyTorch's number)"),
            argument(
                "--rounds",
                type=count,
                default=3,
                metavar="N",
                help="answers that the medians are of, after a first one (default 3)",
            ),
            argument("--out", type=word, metavar="FILE", help="also write a web page, such as bench.html"),
        ),
        "ojito bench tiny --batch 1,8 --prompt-tokens 8,64 --out bench.html",
    ),
    Command(
        "plot",
        "show the curves of a run, or of several: loss, grounding gap, scores, gradients, speed",
        "ojito.commands.plot",
        (
            argument("runs", nargs="+", type=word, metavar="RUN", help="the folder of a run, which may be going on"),
            argument("--out", type=word, metavar="FILE", help="draw them, as .png, .svg or .pdf (extra log)"),
            argument(
                "--by",
                choices=("step", "samples", "minutes"),
                default="step",
                help="what they run over (default step)",
            ),
        ),
        "ojito plot runs/mine --out plot.png",
    ),
    Command(
        "learn",
        "learn how it works: exercises from an image to words, each checked",
        "ojito.commands.learn",
        (
            argument(
                "action",
                nargs="?",
                choices=("start", "status", "next", "check", "hint", "solution", "reset", "watch", "dev"),
                default="status",
                help="start [FOLDER]: begin a course there; next: go on; check, hint, solution, reset [LESSON]: of the "
                "lesson that is worked at, or of this one; watch: check at every save; status (default); dev check "
                "[FOLDER]: prove that a lesson or a course keeps its word",
            ),
            argument(
                "words", nargs="*", type=word, metavar="FOLDER or LESSON", help="see above; a lesson by number, too"
            ),
            argument("--course", type=word, metavar="FOLDER", help="with start: a course of somebody else"),
            argument("--edit", type=word, metavar="COMMAND", help="with watch: opens the exercises, for example code"),
        ),
        "ojito learn start my-course",
    ),
    Command("parts", "list the vision towers and decoders to build with", "ojito.commands.parts", (), "ojito parts"),
    Command("presets", "list the models to start from", "ojito.commands.presets", (), "ojito presets"),
    Command(
        "settings",
        "list the settings of a recipe, with type, default and meaning",
        "ojito.commands.settings",
        (argument("group", nargs="?", type=word, metavar="GROUP", help="only this group, such as model.decoder"),),
        "ojito settings train",
    ),
)
