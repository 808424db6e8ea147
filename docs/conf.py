"""The documentation site: `make docs` builds it into build/docs, from these pages, the lessons and the code.

Sphinx reads the docstrings, myst-parser the Markdown, and furo is the look: all three have permissive licences, are
maintained, and load nothing from another host. `docs/pages` has what is our own: pages written by the code, links as a
reader of the repository needs them, and docstrings with drawings.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from docutils import nodes  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402

import ojito  # noqa: E402 - found by the line above, without an installation
from pages.docstrings import mark_drawings  # noqa: E402
from pages.generated import write_pages  # noqa: E402
from pages.links import relinked  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Ojito"
author = "The Ojito authors"
release = ojito.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_copybutton",
]
exclude_patterns = ["pages"]

# Markdown. Anchors are those of GitHub; straight quotes and `--flags` stay what they are.
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
smartquotes = False
highlight_language = "none"

# Docstrings. What is in single backticks is code, and a link where it is the name of something that is described.
default_role = "py:obj"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 76
python_display_short_literal_types = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "Ojito"
html_static_path = ["pages/static"]
html_css_files = ["ojito.css"]
html_logo = html_favicon = "pages/static/eye.svg"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5fae",
        "color-brand-content": "#1f5fae",
        "color-brand-visited": "#1f5fae",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ab4f8",
        "color-brand-content": "#8ab4f8",
        "color-brand-visited": "#8ab4f8",
    },
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "github-dark"

copybutton_exclude = ".linenos, .gp, .go"


def setup(app: Sphinx) -> None:
    """Have pages written before they are looked for, and text changed before it is read."""
    for name in ("csv", "tree"):  # the tests read data by these names, and Pygments does not know them
        app.add_lexer(name, TextLexer)
    app.connect("config-inited", lambda app, config: write_pages(HERE))
    app.connect("source-read", _relink)
    app.connect("doctree-read", _set_fields)
    app.connect("autodoc-process-docstring", _mark_drawings, priority=400)  # before napoleon reads it


def _relink(app: Sphinx, name: str, source: list[str]) -> None:
    if not name.startswith("generated/"):  # those are written as the site needs them
        source[0] = relinked(source[0], f"docs/{name}.md", f"{name}.md")


def _set_fields(app: Sphinx, doctree: nodes.document) -> None:
    """Set the dash after an argument, which Sphinx leaves to smart quotes; a class has attributes, not variables."""
    for field in doctree.findall(nodes.field):
        for text in [*field.findall(nodes.Text)]:
            if text == " -- ":
                text.parent.replace(text, nodes.Text(" – "))
            elif text == "Variables" and isinstance(text.parent, nodes.field_name):
                text.parent.replace(text, nodes.Text("Attributes"))


def _mark_drawings(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = mark_drawings(lines)
    if what in ("property", "attribute", "data"):
        lines.insert(0, "")  # or napoleon takes what stands before a colon in the first line for a type
