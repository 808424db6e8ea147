"""Which fields the source reads."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

# The functions that read fields, by whose calls the source says which.
READERS = {
    "integer", "number", "numbers", "flag", "choice", "group", "demand", "_softcap", "_sides", "_all_sides", "_token",
}  # fmt: skip


def fields_read(*modules: ModuleType) -> set[str]:
    """The names of the fields that these modules read."""
    found: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "f.get" or called.rpartition(".")[2] in READERS:
                names = node.args[:1] if called.endswith("demand") else node.args
                found |= {n.value for n in names if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found
