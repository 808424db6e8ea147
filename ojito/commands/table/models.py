"""Commands for models as files, their cost, and the course: their arguments, help texts and examples."""

from ojito.commands.arguments import BASE, MMPROJ, MODEL, STORED, argument, count, counts, word
from ojito.commands.table.command import Command

MODELS = (
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
                help="start [FOLDER]: begin a course there; next [LESSON]: go on, or to this one; check, hint, "
                "solution, reset [LESSON]: of the lesson that is worked at, or of this one; watch: check at every "
                "save; status (default); dev check [FOLDER]: prove that a lesson or a course keeps its word",
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
