"""The house's rules that a machine can check: which way imports point, what is named how, what starts fast."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "ojito" / "learn" / "course"  # files as a learner meets and writes them, which nothing imports
MODULES = sorted(path for path in (ROOT / "ojito").rglob("*.py") if LESSONS not in path.parents)
NAMELESS = {"utils", "util", "common", "misc", "helpers", "helper", "base"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_import_points_down():
    # In a process of its own: import-linter sets up logging anew, which silences the loggers that are there.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


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
    apart = {"test_architecture", "test_bad_input", "test_benchmarks", "test_bootstrap", "test_docs", "test_gpu",
             "test_hostile", "test_milestones", "test_mistakes", "test_offline", "test_overfit", "test_readme",
             "test_recipes"}  # fmt: skip
    strangers = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder, name = path.relative_to(ROOT / "tests").parent, path.stem.removeprefix("test_")
        # A module's tests are a file, or a folder of files. Two rooms are tested as a whole: downloads, and parity.
        whole = folder.parts[:1] == ("parity",) or folder == Path("hub")
        mirrored = folder / name in known or folder in modules or whole
        if not mirrored and path.stem not in apart:
            strangers.append(str(path.relative_to(ROOT)))
    assert not strangers


def calls_of_errors(tree, names):
    """Every call that makes an error of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in names:
                yield name, node


def ojito_errors():
    """Names of OjitoError and its subclasses, wherever they are defined."""
    bases = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases}
    found = {"OjitoError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def test_every_error_of_ours_gives_where_problem_and_remedy_apart():
    names, short = ojito_errors() - {"BadRow"}, []  # which has no place of its own: `read_source` adds it
    for path in MODULES:
        for name, call in calls_of_errors(ast.parse(path.read_text(encoding="utf-8")), names):
            given = len(call.args) + sum(keyword.arg in ("where", "problem", "remedy") for keyword in call.keywords)
            # Of a command's words as a whole there is no place to name.
            nowhere = call.args and isinstance(call.args[0], ast.Constant) and not call.args[0].value
            few = given < 3 and not any(isinstance(argument, ast.Starred) for argument in call.args)
            if few or (nowhere and name != "UsageError"):
                short.append(f"{path.relative_to(ROOT)}:{call.lineno}: {name}")
    assert not short, "\n".join(short)


def test_no_mistake_of_the_user_is_a_plain_error():
    """A ValueError or TypeError that is caught where it is raised is no message: `# caught below` says so."""
    plain = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = getattr(node.exc.func, "id", "")
                if name in ("ValueError", "TypeError", "Exception") and "# caught" not in lines[node.lineno - 1]:
                    plain.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert not plain, "\n".join(plain)


def test_near_names_are_looked_for_in_one_place():
    found = [path.name for path in MODULES if "get_close_matches" in path.read_text(encoding="utf-8")]
    assert found == ["errors.py"]


def test_nothing_reads_where_an_error_comes_from():
    found = [path.name for path in MODULES if "walk_tb" in path.read_text(encoding="utf-8")]
    assert not found


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
    # Two exceptions: a file whose every byte is known, and its tensors alone; and what a learner writes to be run.
    packaged, lesson = found
    assert packaged.startswith("ojito/checkpoint/packaged.py")
    assert "weights_only=True" in packaged
    assert lesson.startswith("ojito/learn/lesson.py")


def requirements():
    """All packages that pyproject.toml names, in dependencies and extras. (tomllib came with Python 3.11 only.)"""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    names = "dependencies|hf|photos|pretrained|parquet|gguf|log|docs|dev"
    lists = re.findall(rf"^(?:{names}) = \[(.*?)\]$", text, re.M | re.S)
    assert len(lists) == 9
    return set(re.findall(r'"([A-Za-z][\w-]*)', "".join(lists))) - {"ojito"}


def test_package_never_needs_torchvision_nor_tyro():
    assert not requirements() & {"torchvision", "torchaudio", "tyro"}


def test_constraints_pin_every_requirement_exactly():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if line and not line.startswith("#")}
    assert pinned == requirements()


def test_tests_do_not_share_random_numbers():
    # PIL draws this from the C library's numbers, so that an image would depend on which tests ran before.
    unseeded = "effect_" + "noise("
    assert not [path for path in (ROOT / "tests").rglob("*.py") if unseeded in path.read_text(encoding="utf-8")]
