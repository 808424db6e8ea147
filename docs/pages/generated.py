"""Pages that the code writes: lessons, commands, settings, presets and the API.

They are written to docs/generated, which git ignores, each time that the site is built.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ojito.cli import main
from ojito.commands.arguments import COMMON, Argument
from ojito.commands.table import COMMANDS, Command
from ojito.commands.table.answering import ANSWERING
from ojito.commands.table.evaluating import EVALUATING
from ojito.commands.table.models import MODELS
from ojito.commands.table.training import TRAINING
from ojito.config import Config
from ojito.learn.course import Course
from ojito.learn.lesson import EXERCISE, PAGE, SOLUTION
from ojito.presets import settings_of
from ojito.settings import Setting, describe_settings, group_names, to_yaml
from pages.links import ROOT, relinked
from pages.reference import API, api_page

FOLDER = "generated"
COURSE = "ojito/learn/course"

COPIES = {
    "overview": ("README.md", "Overview"),
    "recipes": ("recipes/README.md", "Recipes"),
    "benchmarks": ("benchmarks/README.md", "Benchmarks"),
    "changes": ("CHANGELOG.md", "Changes"),
}
"""Pages that lie elsewhere in the repository, and what the site calls them."""

ROOMS = {
    "Train": TRAINING,
    "Ask and caption": ANSWERING,
    "Evaluate and look inside": EVALUATING,
    "Models, and finding your way": MODELS,
}


def generated_pages() -> dict[str, Callable[[], str]]:
    """Return the pages by their path from docs/, each with what writes it."""
    course = Course.read()
    pages: dict[str, Callable[[], str]] = {
        f"{FOLDER}/{name}.md": partial(_copy, home, f"{FOLDER}/{name}.md", title)
        for name, (home, title) in COPIES.items()
    }
    pages[f"{FOLDER}/learn/index.md"] = partial(_course_page, course)
    pages |= {f"{FOLDER}/learn/{name}.md": partial(_lesson_page, course, name) for name in course.names}
    pages[f"{FOLDER}/commands.md"] = _commands_page
    pages[f"{FOLDER}/settings.md"] = _settings_page
    pages[f"{FOLDER}/presets.md"] = _presets_page
    pages[f"{FOLDER}/api/index.md"] = _api_index
    pages |= {f"{FOLDER}/api/{name}.rst": partial(api_page, page) for name, page in API.items()}
    return pages


def write_pages(docs: Path) -> None:
    """Write all of them, and remove those that an earlier build has left; what has not changed is not touched."""
    pages = generated_pages()
    for path in (docs / FOLDER).rglob("*"):
        if path.is_file() and path.relative_to(docs).as_posix() not in pages:
            path.unlink()
    for name, write in pages.items():
        path, text = docs / name, write()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _copy(home: str, page: str, title: str) -> str:
    text = (ROOT / home).read_text(encoding="utf-8")
    return relinked(re.sub(r"\A# .+", f"# {title}", text), home, page)


# -------------------------------------------------------------------------------------------------------------- lessons


def _course_page(course: Course) -> str:
    return "\n".join(
        [
            "# Lessons",
            "",
            "From an image to words, one part at a time. Each lesson is a page, an exercise with gaps, and a check",
            "that names the mistake; what is right is decided by the library itself. To work at them, begin in a",
            "folder of your own:",
            "",
            "```sh",
            "ojito learn start my-course",
            "ojito learn check",
            "```",
            "",
            "`ojito learn hint` helps when you are stuck, `ojito learn watch` checks at every save, and",
            "`ojito learn next` goes on; [more about it, and how to write lessons of your own](../../lessons.md). All",
            "can be read here, too, with their exercises and folded solutions.",
            "",
            "```{toctree}",
            ":titlesonly:",
            "",
            *(f"{_number(name)}{course.title(name)} <{name}>" for name in course.names),
            "```",
            "",
        ]
    )


def _number(name: str) -> str:
    found = re.match(r"\d+", name)
    return f"{int(found[0])}. " if found else ""


def _lesson_page(course: Course, name: str) -> str:
    folder = course.folder / name
    home, page = f"{COURSE}/{name}/{PAGE}", f"{FOLDER}/learn/{name}.md"
    return "\n".join(
        [
            relinked((folder / PAGE).read_text(encoding="utf-8"), home, page).rstrip(),
            "",
            "## The exercise",
            "",
            f"`{EXERCISE}`, as `ojito learn` puts it into your folder; each `...` is a gap:",
            "",
            *_python(folder / EXERCISE),
            "",
            "## The solution",
            "",
            '<details class="solution">',
            "<summary>Show it</summary>",
            "",
            *_python(folder / SOLUTION),
            "",
            "</details>",
            "",
        ]
    )


def _python(path: Path) -> list[str]:
    return ["````python", path.read_text(encoding="utf-8").rstrip(), "````"]


# ------------------------------------------------------------------------------------------------------------- commands


def _commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "`ojito COMMAND --help` says the same on the terminal. Settings follow any command that takes a recipe as",
        "`key=value`; [Settings](settings.md) has them all.",
        "",
    ]
    for room, commands in ROOMS.items():
        lines += [f"## {room}", ""]
        for command in commands:
            lines += [*_command(command), ""]
    assert sum(map(len, ROOMS.values())) == len(COMMANDS)
    return "\n".join([*lines, "## Options of every command", "", *_arguments(COMMON), ""])


def _command(command: Command) -> Iterator[str]:
    yield from (f"### ojito {command.name}", "", f"{_sentence(command.about)}", "")
    yield from ("```sh", command.example, "```", "")
    yield from _arguments(command.arguments)


def _arguments(arguments: tuple[Argument, ...]) -> Iterator[str]:
    for argument in arguments:
        options = argument.options
        value = options.get("metavar") or ("{" + ",".join(options["choices"]) + "}" if "choices" in options else "")
        flag = argument.names[0].startswith("-")
        if flag and not value and options.get("action") != "store_true":
            value = argument.names[-1].lstrip("-").upper()
        words = [
            f"`{name} {value}`" if flag and value else f"`{name if flag else value or name}`" for name in argument.names
        ]
        yield ", ".join(words) + (" *required*" if options.get("required") else "")
        about = str(options.get("help") or "").replace("%(default)s", str(options.get("default"))).replace("%%", "%")
        yield f": {_prose(about) or '&nbsp;'}"
        yield ""


def _sentence(text: str) -> str:
    return f"{_prose(text[0].upper() + text[1:])}."


def _prose(text: str) -> str:
    """Plain text as Markdown: flags, key=value and paths with capitals are code, and nothing else is markup."""
    pieces = re.split(r"(`[^`]+`)", " ".join(text.split()))
    for place in range(0, len(pieces), 2):
        piece = re.sub(r"([\\*_<>\[\]|#])", r"\\\1", pieces[place])
        pieces[place] = re.sub(r"(?<![\w-])(--[a-z][a-z-]*|[a-z][\w.\\]*=[^\s,;:)]*[^\s,;:).])", _code, piece)
    return "".join(pieces)


def _code(found: re.Match[str]) -> str:
    return "`" + re.sub(r"\\(.)", r"\1", found[0]) + "`"


# ------------------------------------------------------------------------------------------------- settings and presets


def _settings_page() -> str:
    titles = group_names(Config)
    lines = [
        "# Settings",
        "",
        "Every setting of a recipe, with its default, what it may be, and what it does. On the command line it is",
        "`key=value`; in a recipe, YAML. `ojito settings GROUP` prints the same on the terminal.",
        "",
    ]
    settings = describe_settings(Config)
    for (group, kind), members in itertools.groupby(settings, lambda s: (s.key.rpartition(".")[0], s.kind)):
        lines += [f"## {group or 'recipe'}" + (f": {kind}" if kind else ""), ""]
        lines += [_prose(titles[group]), ""] if titles.get(group) else []
        for setting in members:
            lines += [*_setting(setting), ""]
    return "\n".join(lines)


def _setting(setting: Setting) -> Iterator[str]:
    default = json.dumps(setting.default, ensure_ascii=False)
    # A key that several kinds of a group have is anchored with its kind.
    anchor = "-".join([*setting.key.split("."), *([setting.kind] if setting.kind else [])])
    yield f"`{setting.key}`{{#{anchor}}} `= {default}` *{_prose(setting.type)}*"
    yield f": {_prose(setting.about) or '&nbsp;'}"


def _presets_page() -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["presets", "--json"])
    lines = [
        "# Presets",
        "",
        "Models to start from, as `ojito presets` lists them. Each is a few settings over the defaults, and any",
        "can be changed: `ojito train --preset tiny model.decoder.layers=4`. The complete recipe is what",
        "`ojito train --preset tiny --print-config` prints.",
        "",
    ]
    for preset in json.loads(out.getvalue()):
        name = preset["name"]
        lines += [f"## {name}", "", _sentence(preset["about"]), ""]
        lines += [f"{preset['parameters']:,} parameters, {preset['image_tokens']:,} image tokens.", ""]
        if (ROOT / "docs" / "diagrams" / f"{name}.svg").is_file():
            lines += [f"[Its architecture](../diagrams.md#{name})", ""]
        lines += ["<details>", "<summary>Its settings</summary>", "", "```yaml"]
        lines += [to_yaml(settings_of(name)).rstrip(), "```", "", "</details>", ""]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------------ API


def _api_index() -> str:
    rows = [f"- [{page.title}]({name}.rst): {page.about}" for name, page in API.items()]
    return "\n".join(
        [
            "# API",
            "",
            "What `import ojito` offers, and the packages beside it that are meant to be used, in the words of their",
            "docstrings. Shapes have letters: `B` rows, `T` query positions, `S` key positions, `D` width,",
            "`V` vocabulary, `N` images, `P` patches; [ojito.model](model.rst) has all of them.",
            "",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            ":titlesonly:",
            "",
            *API,
            "```",
            "",
        ]
    )
