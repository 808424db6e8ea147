"""Docstrings as they are written here, made into what Sphinx reads (reStructuredText).

They are plain text that is read in an editor first, in Google's style, with two habits of Markdown. Code is in single
backticks: `default_role` in conf.py sees to that. And what is indented after an empty line is a drawing or an example,
which reStructuredText would take for a quotation: `mark_drawings` puts the line before it that says so.
"""

from __future__ import annotations

import ast
import re
import textwrap


def mark_drawings(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with a directive before each indented block that follows an empty line.

    Python is highlighted, and everything else is left as it was drawn. A section of Google's style (`Args:`) has no
    empty line before its indented lines, so it is not taken for one.
    """
    marked: list[str] = []
    level, row = 0, 0
    while row < len(lines):
        line = lines[row]
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent > level and row and not lines[row - 1].strip():
            end = row
            while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > level):
                end += 1
            block = lines[row:end]
            margin = " " * level
            marked += [f"{margin}.. code-block:: {_language(block)}", "", *(f"    {text}".rstrip() for text in block)]
            row = end
            continue
        if line.strip():
            level = indent
        marked.append(_plain(line))
        row += 1
    return marked


def _language(block: list[str]) -> str:
    try:
        ast.parse(textwrap.dedent("\n".join(block)))
    except SyntaxError:
        return "text"
    return "python"


def _plain(line: str) -> str:
    """A bar, as in `<|im_start|>`, begins no substitution: no docstring has one."""
    return re.sub(r"\|(?=\w)", r"\\|", line)
