"""README.md and six pages of docs/, held true: snippets run as pasted, tables and tree are those of the code.

Snippets run in a folder with a tiny model `runs/mine`, an image `photo.jpg` and rows in `captions.jsonl`. Those that
need the Hub or minutes are made cheap or only parsed; `CHEAPER` and `PARSED` say which.
"""

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from ojito.checkpoint.huggingface import decoders
from ojito.cli import main, parse
from ojito.commands.table import COMMANDS
from ojito.config import Config
from ojito.presets import preset, settings_of
from ojito.settings import merge, parse_yaml, read
from tests.noise import noise

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("evaluation", "extending", "fine-tuning", "inference", "lessons", "runs", "your-own-images")
    ),
]

CHEAPER = {"train.steps=500": "train.steps=2", "--minutes 10": "--steps 2"}
"""What a snippet says, and what the test runs instead."""

PARSED = (
    "google/",
    "--url",
    "HuggingFaceTB/",
    "runs/tuned",
    "runs/joined",
    "runs/new",
    "runs/scenes",
    "runs/vit-llama-96",
    "ojito demo",
    "ojito learn",
    "photos",
)
"""Commands with these need the Hub, a server, or a long training: only their words are checked."""


class Snippet(NamedTuple):
    page: str
    line: int
    language: str
    text: str


def snippets():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
            yield Snippet(page.name, text[: match.start()].count("\n") + 1, match[1], match[2])


def of(*languages):
    found = [snippet for snippet in snippets() if snippet.language in languages]
    return pytest.mark.parametrize("snippet", found, ids=lambda s: f"{s.page}:{s.line}")


COMMAND_LINES = [
    (snippet.page, line) for snippet in snippets() if snippet.language == "sh" for line in snippet.text.splitlines()
]
INLINE = [
    (page.name, " ".join(code.split()))
    for page in PAGES
    for code in re.findall(r"`(ojito [^`]+)`", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S))
]


# ------------------------------------------------------------------------------------------------------------- snippets


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A folder with a tiny model, an image and rows, as a reader would have them."""
    folder = tmp_path_factory.mktemp("stage")
    rows = []
    for number, name in enumerate(("photo.jpg", "a.jpg", "b.jpg", "c.jpg")):
        noise((320, 240), seed=number, spread=60 + 20 * number).save(folder / name)
        rows.append({"image": name, "question": "what is it?", "answer": f"a kite {number}"})
        rows.append({"image": name, "caption": f"kite number {number}", "split": "dev" if number == 3 else "train"})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = "image\tanswer\tsplit\nphoto.jpg\ta kite\ttrain\na.jpg\ta dog\ttrain\nb.jpg\ta cat\tdev\n"
    (folder / "captions.tsv").write_text(table)
    micro = {
        "name": "mine",
        "model": {
            "vision": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "heads": 2, "mlp_dim": 16},
            "decoder": {"vocab_size": 300, "width": 16, "layers": 1, "heads": 2, "mlp_dim": 16},
        },
        "train": {"steps": 2, "batch_size": 2},
    }
    (folder / "micro.yaml").write_text(json.dumps(micro))
    data, out = folder / "captions.jsonl", folder / "runs" / "mine"
    words = ["train", "--config", folder / "micro.yaml", "--data", data, "--out", out, "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def desk(stage, tmp_path, monkeypatch):
    """A copy of the stage, to work in."""
    shutil.copytree(stage, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cheaper(text):
    for dear, cheap in CHEAPER.items():
        text = text.replace(dear, cheap)
    return text


@of("python")
def test_python_snippet_runs_as_pasted(desk, monkeypatch, snippet):
    code = compile(cheaper(snippet.text), f"{snippet.page}:{snippet.line}", "exec")
    if not any(owner in snippet.text for owner in PARSED):
        monkeypatch.setattr(decoders, "DECODERS", {**decoders.DECODERS})  # docs/extending.md adds to it
        exec(code, {"__name__": "__main__"})


@of("yaml")
def test_recipe_can_be_read(snippet):
    values = parse_yaml(snippet.text, snippet.page)
    start = values.pop("preset", None)
    read(Config, merge(settings_of(start), values) if start else values)


@of("json")
def test_rows_can_be_read(desk, snippet):
    from ojito.data import read_source

    (desk / "rows.jsonl").write_text(snippet.text)
    assert read_source(desk / "rows.jsonl").samples("train")


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_command_runs_as_pasted(desk, page, line):
    words = shlex.split(cheaper(line), comments=True)
    if words[0] == "ojito":
        if any(word in line for word in PARSED):
            parse(words[1:])
            return
        force = ["--force"] if words[1] == "train" else []
        assert main([*words[1:], *force, "--device", "cpu"]) == 0
    elif words[0] == "make":
        assert re.search(rf"^\.PHONY:.* {words[1]}\b", (ROOT / "Makefile").read_text(), re.M)
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2])
    elif words[:2] == ["pip", "install"] and words[-1].startswith((".[", "ojito[")):
        project = (ROOT / "pyproject.toml").read_text()
        for extra in re.search(r"\[(.*)\]", words[-1])[1].split(","):
            assert re.search(rf"^{extra} = \[", project, re.M)
    else:
        assert words[:2] == ["pip", "install"]


@pytest.mark.parametrize(("page", "line"), INLINE)
def test_command_in_a_sentence_can_be_parsed(page, line):
    words = shlex.split(line)[1:]
    if "--config" in words or len(words) > 1:
        parse(words)
    else:
        assert words[0] in {command.name for command in COMMANDS}


def test_settings_in_a_sentence_are_settings():
    text = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    pattern = r"\b(?:model|processor|data|train)\.[a-z_.]+=[^\s`\"]+"
    fences = re.findall(r"```.*?```", text, re.S)
    commands = [line for fence in fences for line in fence.splitlines()]
    commands += re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", text, flags=re.S))
    found = [re.findall(pattern, command) for command in commands]
    assert sum(map(bool, found)) > 3
    for settings in found:  # those of one command stand together: a width and its heads
        preset("tiny", settings)


# ------------------------------------------------------------------------------------------------------ tables and tree


def test_presets_are_those_of_the_command(capsys):
    main(["presets"])
    _, *lines = capsys.readouterr().out.splitlines()
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    table = re.search(r"^\| preset .*?\n\|[-|]+\n(.*?)\n\n", PAGES[0].read_text(encoding="utf-8"), re.M | re.S)[1]
    assert [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()] == rows


def tree():
    """Files that the tree of README names, with their folders."""
    (text,) = re.findall(r"^```text\n(ojito/\n.*?)^```$", PAGES[0].read_text(encoding="utf-8"), re.M | re.S)
    folders = []
    for line in text.splitlines():
        indent, names = re.fullmatch(r"( *)((?:[\w.]+/?, )*[\w.]+/?)(?:  .*)?", line).groups()
        del folders[len(indent) // 2 :]
        for name in names.split(", "):
            if name.endswith("/"):
                folders.append(name)
            else:
                yield "".join([*folders, name])


def test_tree_names_every_file_of_the_package():
    shown = [*tree()]
    assert len(shown) == len({*shown})
    paths = [path.relative_to(ROOT) for path in (ROOT / "ojito").rglob("*.py") if path.stem[:2] != "__"]
    files = {str(path) for path in paths if path.parts[1:3] != ("learn", "course")}  # lessons, listed in course.txt
    assert sorted({*shown} - files) == []
    assert sorted(files - {*shown}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_of_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:ojito|tests|docs|benchmarks)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / link).exists(), link
