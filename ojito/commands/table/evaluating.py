"""Commands for judging models, and looking inside: their arguments, help texts and examples."""

from ojito.commands.arguments import BASE, BEAMS, MAX_PIXELS, MMPROJ, MODEL, STORED, argument, count, word
from ojito.commands.table.command import Command
from ojito.probe.methods import METHODS

EVALUATING = (
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
)
