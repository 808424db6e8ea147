"""The house's rules that a machine can check: which way imports point, what is named how, what starts fast."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "ojito").rglob("*.py"))
NAMELESS = {"utils", "util", "common", "misc", "helpers", "helper", "base"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_import_points_down(monkeypatch, capsys):
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True, no_logo=True) == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize(
    "code", ["import ojito", "import ojito.config, ojito.records, ojito.presets", "import ojito.cli"]
)
def test_import_does_not_wait_for_torch(code):
    done = run(f"import sys; {code}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_public_names_are_all_there():
    done = run(
        "import ojito; [getattr(ojito, name) for name in ojito.__all__]; assert set(ojito.__all__) <= set(dir(ojito))"
    )
    assert done.returncode == 0, done.stderr


def test_unknown_public_name_is_an_attribute_error():
    done = run("import ojito; ojito.Pipelin")
    assert "AttributeError: module 'ojito' has no attribute 'Pipelin'" in done.stderr


def test_version_is_the_packages():
    import ojito

    assert re.search(rf'^version = "{re.escape(ojito.__version__)}"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert f"## [{ojito.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_has_a_name_that_says_something_and_a_first_line(path):
    assert path.stem not in NAMELESS
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_test_files_mirror_the_package():
    modules = {path.relative_to(ROOT / "ojito").with_suffix("") for path in MODULES}
    known = modules | {path.parent for path in modules if path.name == "__init__"}
    # What these test has no module of its own.
    apart = {"test_architecture", "test_bootstrap", "test_bad_input", "test_gpu", "test_hostile",
             "test_mistakes", "test_offline", "test_overfit"}  # fmt: skip
    strangers = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder, name = path.relative_to(ROOT / "tests").parent, path.stem.removeprefix("test_")
        # A module's tests are a file, or a folder of files. Two rooms are tested as a whole: downloads, and parity.
        whole = folder.parts[:1] == ("parity",) or folder == Path("checkpoint/hub")
        mirrored = folder / name in known or folder in modules or whole
        if not mirrored and path.stem not in apart:
            strangers.append(str(path.relative_to(ROOT)))
    assert not strangers


def test_nothing_unpickles():
    banned = re.compile(
        r"\b(?:pickle|torch\.load|joblib|marshal|eval|exec)\(|^import (?:pickle|marshal)|yaml\.(?:unsafe_)?load\("
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if banned.search(line) and ".eval(" not in line and "Loader=_Loader" not in line
    ]
    assert not found


def requirements():
    """All packages that pyproject.toml names, in dependencies and extras. (tomllib came with Python 3.11 only.)"""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|hf|photos|dev) = \[(.*?)\]$", text, re.M | re.S)
    assert len(lists) == 4
    return set(re.findall(r'"([A-Za-z][\w-]*)', "".join(lists))) - {"ojito"}


def test_package_never_needs_torchvision_nor_tyro():
    assert not requirements() & {"torchvision", "torchaudio", "tyro"}


def test_constraints_pin_every_requirement_exactly():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if line and not line.startswith("#")}
    assert pinned == requirements()
