"""The documentation: links lead somewhere, public names are described, and the site is built without a warning."""

import importlib
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ojito
from ojito.commands.table import COMMANDS
from ojito.config import Config
from ojito.presets import PRESETS
from ojito.settings import describe_settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))  # as conf.py does

from pages.docstrings import mark_drawings  # noqa: E402
from pages.generated import generated_pages, write_pages  # noqa: E402
from pages.links import anchors, broken, links, relinked  # noqa: E402
from pages.reference import API  # noqa: E402

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "recipes/README.md", "benchmarks/README.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in path.parts),
    *sorted((ROOT / "ojito" / "learn" / "course").glob("*/lesson.md")),
]
GENERATED = generated_pages()


# ---------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    assert broken(page.read_text(encoding="utf-8"), page, GENERATED) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n")
    (tmp_path / "other.md").write_text("# Other\n\n## Two words\n\n## Two words\n")
    text = """# Here, `now`

[a](other.md#two-words) [b](other.md#two-words-1) [c](#a-page) [d](https://example.org) `[code](gone.md)`

```md
[fenced](gone.md)
```

[e](gone.md) [f](other.md#three) [g](#gone)
"""
    assert broken(text, page, {}) == [
        "gone.md: no such file",
        "other.md#three: no such heading",
        "#gone: no such heading",
    ]


def test_anchors_are_those_of_github():
    text = "# Public tasks: lmms-eval\n## `a_b` and *c*\n```sh\n# no heading\n```\n`train.lr`{#train-lr}\n"
    assert anchors(text) == {"public-tasks-lmms-eval", "a_b-and-c", "train-lr"}


@pytest.mark.parametrize(
    ("link", "home", "page", "expected"),
    [
        ("docs/data.md#large-data", "README.md", "generated/overview.md", "../data.md#large-data"),
        ("docs/result.png", "README.md", "generated/overview.md", "../result.png"),
        ("../README.md#looking-inside", "docs/evaluation.md", "evaluation.md", "generated/overview.md#looking-inside"),
        ("adr/0019-packing.md", "docs/data.md", "data.md", "adr/0019-packing.md"),
        ("diagrams", "docs/evaluation.md", "evaluation.md", "diagrams.md"),
        (
            "../03_attention/lesson.md",
            "ojito/learn/course/04_x/lesson.md",
            "generated/learn/04_x.md",
            "03_attention.md",
        ),
        ("../recipes/scale/slurm.sh", "docs/scale.md", "scale.md", "../recipes/scale/slurm.sh"),
        ("#here", "docs/scale.md", "scale.md", "#here"),
        ("https://example.org/docs", "docs/scale.md", "scale.md", "https://example.org/docs"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(link, home, page, expected):
    assert [*links(f"[x]({link})")] == ([] if link.startswith("https") else [link])
    assert relinked(f"[x]({link})", home, page) == f"[x]({expected})"


def test_code_is_not_relinked_and_a_folder_without_a_page_is_not_linked():
    assert (
        relinked("```\n[x](docs/data.md)\n```\n", "README.md", "generated/overview.md")
        == "```\n[x](docs/data.md)\n```\n"
    )
    assert relinked("[the model](ojito/model)", "README.md", "generated/overview.md") == "the model"


# ------------------------------------------------------------------------------------------------- pages and docstrings


def test_every_page_of_docs_is_in_the_menu():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    shown = {
        entry
        for menu in re.findall(r"```\{toctree\}\n(.*?)```", text, re.S)
        for entry in re.findall(r"[\w/-]+(?=>?$)", menu, re.M)
    }
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    there |= {name.rpartition(".")[0] for name in GENERATED if name.count("/") == 1 or name.endswith("/index.md")}
    assert there | {"adr/index"} <= shown


def test_every_public_name_is_described_on_a_page():
    described = set()
    for part in (part for page in API.values() for part in page.parts):
        found = [
            getattr(importlib.import_module(home), name) for home, _, name in (n.rpartition(".") for n in part.names)
        ]
        if part.module:
            module = importlib.import_module(part.module)
            own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            members = [name for name in getattr(module, "__all__", own) if name not in part.without]
            found += [module, *(getattr(module, name) for name in members if part.members)]
        described |= {id(value) for value in found}
    names = [name for name in ojito.__all__ if name[0] != "_"]
    assert [name for name in names if id(getattr(ojito, name)) not in described] == []
    for package in ("evaluate", "evaluate.captions", "doctor", "learn", "model", "config"):
        module = importlib.import_module(f"ojito.{package}")
        values = {name: getattr(module, name) for name in module.__all__}
        # A name for a union of types or a Literal has no docstring of its own.
        documented = {
            n: v for n, v in values.items() if getattr(v, "__module__", "").startswith("ojito") and callable(v)
        }
        assert [name for name, value in documented.items() if id(value) not in described] == []


def test_pages_name_every_command_setting_preset_and_lesson():
    commands, settings = GENERATED["generated/commands.md"](), GENERATED["generated/settings.md"]()
    assert [command.name for command in COMMANDS if f"### ojito {command.name}\n" not in commands] == []
    flags = [
        name for command in COMMANDS for argument in command.arguments for name in argument.names if name[0] == "-"
    ]
    assert [flag for flag in flags if f"`{flag}" not in commands] == []
    assert [setting.key for setting in describe_settings(Config) if f"`{setting.key}`{{#" not in settings] == []
    presets = GENERATED["generated/presets.md"]()
    assert [name for name in PRESETS if f"## {name}\n" not in presets] == []
    order = [line.strip() for line in (ROOT / "ojito/learn/course/course.txt").read_text().splitlines()]
    names = [name for name in order if name and name[0] != "#"]
    assert re.findall(r"<(\w+)>$", GENERATED["generated/learn/index.md"](), re.M) == names


def test_a_lesson_shows_its_exercise_and_folds_its_solution():
    page = GENERATED["generated/learn/03_attention.md"]()
    folder = ROOT / "ojito" / "learn" / "course" / "03_attention"
    above, _, folded = page.partition('<details class="solution">')
    assert (folder / "exercise.py").read_text().strip() in above
    assert (folder / "solution.py").read_text().strip() in folded
    assert (folder / "solution.py").read_text().strip() not in above


def test_pages_are_written_once_and_old_ones_removed(tmp_path):
    write_pages(tmp_path)
    page, old = tmp_path / "generated" / "commands.md", tmp_path / "generated" / "learn" / "99_gone.md"
    before = page.stat().st_mtime_ns
    old.write_text("# Gone\n")
    write_pages(tmp_path)
    assert not old.exists()
    assert page.stat().st_mtime_ns == before
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == {*GENERATED}


def test_drawings_and_examples_of_a_docstring_are_marked():
    text = """First line.

    a -> b
       |

    c

After it.

    x = 1

Args:
    x: Not a drawing, though
        it is indented.
    prompt: `<|im_start|>`.
"""
    assert (
        "\n".join(mark_drawings(text.splitlines()))
        == """First line.

.. code-block:: text

        a -> b
           |

        c

After it.

.. code-block:: python

        x = 1

Args:
    x: Not a drawing, though
        it is indented.
    prompt: `<\\|im_start|>`."""
    )


# ------------------------------------------------------------------------------------------------------------- the site


class Loaded(HTMLParser):
    """What a page loads when it is opened: scripts, styles, fonts, images, frames."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        loads = tag != "link" or values.get("rel") not in ("next", "prev", "index", "search", "canonical")
        if tag != "a" and loads:
            self.found += [values.get(name) or "" for name in ("src", "srcset", "href", "data", "poster")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for name in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the extra docs is not installed: no {name}")
    out = tmp_path_factory.mktemp("site")
    words = ["-q", "-W", "--keep-going", "-E", "-d", out / "cache", ROOT / "docs", out / "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


@pytest.mark.slow
def test_site_is_built_without_a_warning(site):
    assert (site / "index.html").is_file()
    assert "Float[Tensor, 'B T V']" in re.sub(r"<[^>]+>", "", (site / "generated/api/model.html").read_text())


@pytest.mark.slow
def test_site_loads_nothing_from_another_host(site):
    loaded = re.compile(r"(?:@import\s+|url\(\s*)[\"']?((?:https?:)?//[^\"')\s]+)")
    for page in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert [url for url in parser.found if re.match(r"(?:https?:)?//", url)] == [], page
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page
    for style in site.rglob("*.css"):
        assert loaded.findall(style.read_text(encoding="utf-8")) == [], style
