"""The names of `ojito`, imported when they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ojito


def test_importing_ojito_does_not_import_torch():
    code = "import sys, ojito; dir(ojito); ojito.Sample; assert 'torch' not in sys.modules; print(ojito.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


@pytest.mark.parametrize("name", [name for name in ojito.__all__ if name not in ("preset", "presets")])
def test_public_name_is_there(name):
    assert getattr(ojito, name) is not None
    assert name in dir(ojito)


@pytest.mark.parametrize("name", ["preset", "presets"])
def test_public_preset_name_is_there(presets, name):
    assert getattr(ojito, name) is not None


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = ojito.lod


def test_lazy_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(ojito.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(f"{node.module}", alias.name) for node in block.body for alias in node.names}
    lazy = {(home, name) for home, names in ojito._HOMES.items() for name in names}
    # `ojito.evaluate` is a package that can be called: type checkers see the function that this calls.
    assert seen == lazy | {("ojito", "presets"), ("ojito.evaluate", "evaluate")}
    assert {name for _, name in seen} | {"__version__"} == set(ojito.__all__)
