"""The table of docs/bad-input.md, held true: each case is tried, and its message is what the page says.

`python -m tests.test_bad_input` writes the page anew. A case is a description and something to do in a folder of its
own; add one, write the page, read it.
"""

import contextlib
import io
import json
import logging
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from unittest import mock

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from ojito.cli import main
from ojito.config import Config, ProcessorConfig, TokenizerConfig
from ojito.data import DataError, read_source
from ojito.loading import load
from ojito.processor import ImageError, Processor, RowError, Tokenizer
from ojito.processor.images import open_image
from ojito.records import Sample, Turn
from ojito.settings import ConfigError, override, read, read_yaml
from tests.hostile import good_folders
from tests.noise import noise

PAGE = Path(__file__).parent.parent / "docs" / "bad-input.md"


def message(action):
    """What a user reads: the error's text, or what the command wrote (a case may return that)."""
    try:
        said = action()
    except (ConfigError, DataError, ImageError, RowError, ValueError) as error:
        return str(error)
    assert isinstance(said, str), "the input was accepted"
    return said


# ------------------------------------------------------------------------------------------------------------- images


def encoded(kind="PNG", size=(20, 20)):
    file = io.BytesIO()
    noise(size, spread=99).save(file, kind)
    return file.getvalue()


def image(content, name="photo.jpg"):
    def action():
        Path(name).write_bytes(content)
        open_image(name)

    return action


def png_of(width, height):
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + ihdr
        + struct.pack(">I", zlib.crc32(ihdr))
        + struct.pack(">I", 0)
        + b"IDAT"
        + bytes(4)
    )


def near_miss():
    Path("holiday.jpg").write_bytes(encoded("JPEG"))
    open_image("holidy.jpg")


IMAGES = {
    "cut off": image(encoded("JPEG")[:300]),
    "only a beginning": image(encoded("PNG")[:20], "photo.png"),
    "empty file": image(b""),
    "text, not an image": image(b"hello there, no image"),
    "TIFF": image(encoded("TIFF"), "scan.tif"),
    "PDF": image(b"%PDF-1.7 and so on", "scan.pdf"),
    "HEIC from a telephone": image(b"\0\0\0\x18ftypheic\0\0\0\0", "photo.heic"),
    "too many pixels": image(png_of(20_000, 20_000), "huge.png"),
    "decompression bomb": image(png_of(60_000, 60_000), "bomb.png"),
    "missing": lambda: open_image("photo.jpg"),
    "misspelt": near_miss,
    "missing folder": lambda: open_image("photos/photo.jpg"),
    "a folder": lambda: open_image("."),
    "address in the network": lambda: open_image("https://example.org/photo.jpg"),
    "empty bytes": lambda: open_image(b""),
    "a number": lambda: open_image(7),
}

# ----------------------------------------------------------------------------------------------------------------- rows


def rows(*lines, name="rows.jsonl", good=0):
    def action():
        Path("a.jpg").write_bytes(encoded("JPEG"))
        good_lines = ['{"image": "a.jpg", "caption": "x"}'] * good
        texts = [line if isinstance(line, (str, bytes)) else json.dumps(line) for line in lines]
        Path(name).write_bytes(b"\n".join(t if isinstance(t, bytes) else t.encode() for t in [*texts, *good_lines]))
        source = read_source(name, max_bad=1 if good else 0.05)
        return "\n".join(source.problems)

    return action


def one(row):
    """One bad row among good ones: what is said about it."""
    return rows(row, good=1)


def talk(*messages):
    return one({"image": "a.jpg", "conversations": [{"from": who, "value": text} for who, text in messages]})


ROWS = {
    "not JSON": one('{"image": "a.jpg", "caption": "a red'),
    "not an object": one("[1, 2]"),
    "not UTF-8": one(b'{"image": "a.jpg", "caption": "\xe9"}'),
    "no image": one({"caption": "a dog"}),
    "misspelt key": one({"imgae": "a.jpg", "caption": "a dog"}),
    "nothing to learn": one({"image": "a.jpg"}),
    "misspelt caption": one({"image": "a.jpg", "captoin": "a dog"}),
    "image of the wrong type": one({"image": 7, "caption": "a dog"}),
    "missing image": one({"image": "b.jpg", "caption": "a dog"}),
    "other capitals": one({"image": "A.JPG", "caption": "a dog"}),
    "image in the network": one({"image": "https://example.org/a.jpg", "caption": "a dog"}),
    "empty caption": one({"image": "a.jpg", "caption": " "}),
    "NaN for a caption": one('{"image": "a.jpg", "caption": NaN}'),
    "Infinity for a caption": one('{"image": "a.jpg", "caption": Infinity}'),
    "key that is there twice": one('{"image": "a.jpg", "caption": "a dog", "caption": "a pup"}'),
    "more tags than images": one({"image": "a.jpg", "question": "<image><image> which?", "answer": "a dog"}),
    "half a character": one('{"image": "a.jpg", "caption": "nice \\ud83d"}'),
    "caption of the wrong type": one({"image": "a.jpg", "caption": ["a dog"]}),
    "captions of the wrong type": one({"image": "a.jpg", "captions": "a dog"}),
    "no captions": one({"image": "a.jpg", "captions": []}),
    "caption and captions": one({"image": "a.jpg", "caption": "a dog", "captions": ["a dog"]}),
    "question without answer": one({"image": "a.jpg", "question": "what?"}),
    "answer of the wrong type": one({"image": "a.jpg", "question": "is it?", "answer": True}),
    "qa of the wrong type": one({"image": "a.jpg", "qa": ["what?"]}),
    "conversation without an answer": talk(("human", "what?")),
    "conversation out of turn": talk(("gpt", "a dog")),
    "message without value": one({"image": "a.jpg", "conversations": [{"from": "human"}]}),
}


def written(prompt=None, **sample):
    def action():
        config = read(ProcessorConfig, {"tokenizer": {"kind": "characters"}, "prompt": prompt or {}})
        tokenizer = Tokenizer.train(config.tokenizer, ["abc"], 100)
        Processor(config, tokenizer, image_size=8, image_tokens=4)(
            [Sample(origin="rows.jsonl:1", **sample)], training=True
        )

    return action


ROWS |= {
    "too much text": written(turns=(Turn("", ("a" * 600,)),)),
    "no answer to learn": written(turns=(Turn("what?"),)),
    "marks that do not fit the images": written(
        {"image": "inline"}, turns=(Turn("<image>what?", ("a",), tagged=True),)
    ),
    "one image instead of a list": written(images="a.jpg", turns=(Turn("what?", ("a",)),)),
}

# ---------------------------------------------------------------------------------------------------- lists and folders


def folder(**files):
    def action():
        Path("mine").mkdir()
        for name, content in files.items():
            (Path("mine") / name.replace("_", ".")).write_bytes(content)
        source = read_source("mine", max_bad=0.5)
        return "\n".join([*source.problems, *source.notes])

    return action


LISTS = {
    "missing": lambda: read_source("mine"),
    "misspelt": lambda: (Path("captions.jsonl").touch(), read_source("caption.jsonl")),
    "of another kind": lambda: (Path("rows.xlsx").touch(), read_source("rows.xlsx")),
    "JSON of no form": lambda: (
        Path("rows.json").write_text('{"pictures": [], "words": []}'),
        read_source("rows.json"),
    ),
    "packed archive": lambda: (Path("a.tar.gz").write_bytes(b"\x1f\x8b"), read_source("a.tar.gz")),
    "empty list": rows(),
    "empty folder": folder(),
    "folder with two lists": folder(a_jsonl=b"", b_jsonl=b""),
    "image without a text": folder(a_png=encoded(), a_txt=b"a dog", b_png=encoded()),
    "text without an image": folder(a_png=encoded(), a_txt=b"a dog", b_txt=b"a cat"),
    "folder of images alone": folder(a_png=encoded(), b_png=encoded()),
    "CSV with other columns": rows("picture,words", "a.jpg,a dog", name="rows.csv"),
    "CSV with a column twice": rows("image,image,caption", "a.jpg,a.jpg,a dog", name="rows.csv"),
    "CSV with a quotation mark too many": rows("image,caption", 'a.jpg,"a" dog', *["a.jpg,x"] * 19, name="rows.csv"),
    "CSV with a quotation mark too few": rows("image,caption", 'a.jpg,"a dog', *["a.jpg,x"] * 19, name="rows.csv"),
    "CSV with a comma in a caption": rows("image,caption", "a.jpg,a dog, lying", *["a.jpg,x"] * 19, name="rows.csv"),
    "CSV that is not UTF-8": rows("image,caption", b"a.jpg,caf\xe9", name="rows.csv"),
    "more bad rows than data.max_bad": rows(*['{"image": "b.jpg", "caption": "x"}'] * 7),
    "bad rows alone, with data.max_bad=1": lambda: (
        Path("rows.jsonl").write_text("{"),
        read_source("rows.jsonl", max_bad=1),
    ),
    "no such split": lambda: rows(good=3)() or read_source("rows.jsonl").samples("dev"),
}

# ------------------------------------------------------------------------------------------------------------- settings


def setting(*settings):
    return lambda: read(Config, override({}, settings))


def recipe(content):
    def action():
        Path("recipe.yaml").write_text(content)
        read(Config, read_yaml("recipe.yaml"))

    return action


SETTINGS = {
    "unknown key": setting("train.learning_rate=1"),
    "misspelt key": setting("train.batchsize=8"),
    "not a setting": setting("train.lr"),
    "into a value": setting("name=mine", "name.first=x"),
    "word for a number": setting("train.steps=many"),
    "number with a comma": setting("train.lr=0,001"),
    "fraction for a whole number": setting("train.steps=1.5"),
    "word for true or false": setting("processor.prompt.bos=maybe"),
    "one value for a list": setting("train.freeze=vision"),
    "not one of the choices": setting("model.decoder.mlp=gate"),
    "below the limit": setting("train.batch_size=0"),
    "outside 0 to 1": setting("model.decoder.dropout=1.5"),
    "width not divisible by heads": setting("model.decoder.width=100"),
    "image not divisible by patch": setting("model.vision.image_size=100"),
    "connector that does not fit": setting("model.connector.reduce=pixel_shuffle", "model.connector.factor=3"),
    "no room for text": setting("model.decoder.max_positions=128"),
    "no training at all": setting("train.steps=0"),
    "nothing to train": setting("train.freeze=[vision, connector, decoder]"),
    "batch not divisible by accumulate": setting("train.accumulate=3"),
    "another tower": setting("model.vision.kind=vgg"),
    "blind turns with inline images": written({"turns": "blind", "image": "inline"}),
    "vocabulary too small": lambda: Tokenizer.train(TokenizerConfig(vocab_size=100), [], 100),
    "tokenizer file without a path": setting("processor.tokenizer.kind=file"),
    "tokenizer file that is missing": lambda: Tokenizer.read("tokenizer.json"),
    "tokenizer file of another kind": lambda: (
        Path("tokenizer.json").write_text("{}"),
        Tokenizer.read("tokenizer.json"),
    ),
    "pixel limit of nothing": setting("processor.image.max_pixels=0"),
    "recipe that is missing": lambda: read_yaml("recipe.yaml"),
    "recipe that is not YAML": recipe("train: {lr: 1e-3"),
    "recipe that is not a mapping": recipe("- train"),
    "folder that is no model": lambda: Processor.load("runs"),
}

# ------------------------------------------------------------------------------------------------------- public models


def command(*words, before=None):
    """A command that cannot be followed, after something else is done."""

    def action():
        if before:
            before()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(word) for word in words])
        assert (code, out.getvalue()) == (2, "")
        return err.getvalue().removeprefix("ojito: error: ")

    return action


def public(change, kind="llava"):
    """Reads a public model after this change to its folder, `model`."""

    def before():
        good_folders.make(Path("model"), kind)
        change(Path("model"))

    return command("info", "model", before=before)


def loaded(change, kind="llava"):
    """As `public`, weights and all."""

    def action():
        good_folders.make(Path("model"), kind)
        change(Path("model"))
        load("model", device="cpu")

    return action


def config(**fields):
    """A change to some fields of config.json, `group__field`."""

    def change(folder):
        values = json.loads((folder / "config.json").read_text())
        for name, value in fields.items():
            *group, field = name.split("__")
            (values[group[0]] if group else values)[field] = value
        good_folders.write(folder / "config.json", values)

    return change


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def halved(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def two_heads(folder):
    state = load_file(folder / "model.safetensors")
    save_file(
        {**state, "lm_head.weight": state["language_model.model.embed_tokens.weight"] + 1}, folder / "model.safetensors"
    )


def small_vocabulary(folder):
    config(text_config__vocab_size=3)(folder)


def offline(*words):
    def action():
        with mock.patch.multiple(constants, HF_HUB_OFFLINE=True, HF_HUB_CACHE="hub"):
            return command(*words)()

    return action


def adapter(layer="model.language_model.layers.0.self_attn.q_proj", base="model", **settings):
    """An adapter of LoRA, `adapter`, for `model`."""

    def action():
        good_folders.make(Path("model"), "llava")
        Path("adapter").mkdir()
        values = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 2, **settings}
        good_folders.write(Path("adapter") / "adapter_config.json", values)
        names = [f"base_model.model.{layer}.lora_{matrix}.weight" for matrix in "AB"]
        shapes = dict(zip(names, ((2, 8), (8, 2)), strict=True))
        save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, "adapter/adapter_model.safetensors")
        load("adapter", device="cpu")

    return action


MODELS = {
    "folder without config.json": command("info", "model", before=lambda: Path("model").mkdir()),
    "config.json that is not JSON": public(lambda folder: (folder / "config.json").write_text("{")),
    "family that Ojito has not": public(config(model_type="qwen2_vl")),
    "decoder alone": public(config(model_type="llama")),
    "field that Ojito cannot follow": public(config(vision_config__hidden_act="relu")),
    "field of the wrong type": public(config(text_config__num_hidden_layers="two")),
    "sizes that make no model": public(config(text_config__num_attention_heads=3, text_config__head_dim=None)),
    "more layers than the weights have": public(config(text_config__num_hidden_layers=1000)),
    "pickled weights": public(pickled),
    "half a file of weights": public(halved),
    "weights of another model": loaded(config(text_config__intermediate_size=16)),
    "shard that is missing": public(lambda folder: sorted(folder.glob("model-*"))[0].unlink(), "llava-shards"),
    "head that is not the embedding": loaded(two_heads, "paligemma"),
    "no tokenizer.json": loaded(lambda folder: (folder / "tokenizer.json").unlink()),
    "tokenizer in another form": loaded(lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model")),
    "tokenizer of another model": loaded(small_vocabulary),
    "images of another size": public(config(vision_config__image_size=32)),
    "neither folder nor preset": command("info", "paligema-3b-224"),
    "model of the Hub, while offline": offline("info", "google/paligemma-3b-pt-224"),
    "adapter whose model is elsewhere": adapter(base="models/owl"),
    "adapter of another model": adapter("model.language_model.layers.7.self_attn.q_proj"),
    "adapter of a kind that Ojito has not": adapter(use_dora=True),
}

# ---------------------------------------------------------------------------------------------------- the command line


def with_model(*words, kind="own"):
    """A command about a model, `mine`, and an image, `photo.png`."""

    def prepare():
        good_folders.make(Path("mine"), kind)
        Path("photo.png").write_bytes(encoded())

    return command(*words, before=prepare)


def with_image(*words, size=(20, 20)):
    """A command about an image, `photo.png`, that ends before its model is loaded."""
    return command(*words, before=lambda: Path("photo.png").write_bytes(encoded(size=size)))


COMMANDS = {
    "no such command": command("capton", "mine", "photo.png"),
    "no such preset": command("train", "--preset", "tinny", "--data", "scenes"),
    "a setting as a flag": command("train", "--lr", "3e-4"),
    "a setting without its group": command("train", "batch_size=8"),
    "a flag as a setting": command("train", "data=photos/"),
    "data without their flag": command("train", "photos/"),
    "a preset for own images without them": command("train", "--preset", "photos"),
    "data that are an address": command("train", "--data", "https://example.org/photos.zip"),
    "shards among other files": with_image("pack-data", "photo.png", "--out", "."),
    "a setting that is not of data": command("pack-data", "rows.jsonl", "--out", "new", "train.steps=3"),
    "two models to start from": with_model("train", "--from", "mine", "--preset", "tiny", "--data", "scenes"),
    "a preset to go on from": command("train", "--from", "tiny", "--data", "scenes"),
    "another tokenizer to go on with": with_model(
        "train", "--from", "mine", "--data", "scenes", "processor.tokenizer.kind=characters"
    ),
    "weights that do not fit the settings": with_model(
        "train", "--from", "mine", "--data", "scenes", "model.decoder.mlp_dim=16"
    ),
    "a folder that holds a model": with_model("convert", "mine", "--out", "mine"),
    "a file where a model shall be": with_model("convert", "mine", "--out", "photo.png"),
    "a model that no family describes": with_model("convert", "mine", "--out", "theirs"),
    "a connector that is none": with_model(
        "build", "--vision", "mine", "--decoder", "mine", "--connector", "mpl", "--out", "new"
    ),
    "a decoder without a tokenizer": with_model("build", "--vision", "mine", "--decoder", "tiny", "--out", "new"),
    "boxes of a model that has none": with_model("detect", "mine", "photo.png", "cat"),
    "nothing to find": with_model("detect", "mine", "photo.png", " ; ", kind="paligemma"),
    "an image of no kind": with_model("detect", "mine", "photo.png", "cat", "--out", "boxed.tiff"),
    "weights of masks that are missing": with_model(
        "segment", "mine", "photo.png", "cat", "--weights", "vae-oid.npz", kind="paligemma"
    ),
    "an image too long for its file": with_image(
        "detect", "paligemma-3b-224", "photo.png", "cat", "--out", "boxed.webp", size=(20_000, 10)
    ),
    "masks among other files": with_image(
        "segment", "paligemma-3b-224", "photo.png", "cat", "--weights", "vae-oid.npz", "--masks", "."
    ),
    "an image that is too large for the model": with_image(
        "ask", "paligemma-3b-224", "photo.png", "what?", "--max-pixels", "399"
    ),
    "an empty word": with_model("caption", "", "photo.png"),
    "a seed that is too large": with_model("ask", "mine", "photo.png", "what?", "--seed", str(2**63)),
    "no such device": with_model("caption", "mine", "photo.png", "--device", "gpu"),
    "curves of a folder that is no run": command("plot", "mine"),
    "a plot of no kind": command("plot", "mine", "--out", "plot.gif"),
    "no more room for an answer": with_model("ask", "mine", "photo.png", "what?", "--max-new-tokens", "0"),
}

SECTIONS = {
    "Images": IMAGES,
    "Rows": ROWS,
    "Lists and folders": LISTS,
    "Settings": SETTINGS,
    "Public models": MODELS,
    "Command line": COMMANDS,
}
CASES = [(section, what) for section, cases in SECTIONS.items() for what in cases]

INTRODUCTION = """# Bad input, and what Ojito says about it

A message names the place, the problem and the remedy. A bad row or image is skipped, named and counted; training
stops when more than the share `data.max_bad` of them is bad. Everything else stops at once, in a command with one line
and exit code 2. No input is sent anywhere, and no message needs a traceback to be understood.

`tests/test_bad_input.py` tries every line of this page and compares the message; it also writes the page.
"""


def page(messages):
    lines = [INTRODUCTION]
    for section, cases in SECTIONS.items():
        if cases:
            lines += [f"## {section}\n", "| Input | Message |", "|---|---|"]
            lines += [f"| {what} | {cell(messages[section, what])} |" for what in cases] + [""]
    return "\n".join(lines).rstrip() + "\n"


def cell(text):
    fence = "``" if "`" in text else "`"
    return "<br>".join(f"{fence}{line.strip()}{fence}".replace("|", r"\|") for line in text.splitlines())


@pytest.mark.parametrize(("section", "what"), CASES, ids=[f"{s}: {w}" for s, w in CASES])
def test_bad_input_gets_the_message_that_the_page_promises(section, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = message(SECTIONS[section][what])
    assert said
    assert f"| {what} | {cell(said)} |" in PAGE.read_text(encoding="utf-8"), "run: python -m tests.test_bad_input"


def test_page_holds_nothing_but_what_is_tried():
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(table) == len(CASES) + sum(bool(cases) for cases in SECTIONS.values())


def write_page():
    logging.disable()
    messages = {}
    home = Path.cwd()
    for section, what in CASES:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            messages[section, what] = message(SECTIONS[section][what])
            os.chdir(home)
    PAGE.write_text(page(messages), encoding="utf-8")
    print(f"wrote {PAGE} with {len(messages)} messages")


if __name__ == "__main__":
    sys.exit(write_page())
