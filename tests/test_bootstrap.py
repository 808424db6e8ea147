"""Set-up, with pip and venv replaced by recorders: what would be installed, when, and what is said when it fails."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Machine:
    """A folder with the set-up's files, and every process that bootstrap would have started there."""

    def __init__(self, folder, monkeypatch):
        spec = importlib.util.spec_from_file_location("bootstrap_under_test", ROOT / "bootstrap.py")
        self.bootstrap = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.bootstrap)
        self.folder, self.calls, self.codes, self.has_pip = folder, [], {}, True
        for name in ("pyproject.toml", "constraints.txt"):
            (folder / name).write_text(name)
        monkeypatch.setattr(self.bootstrap, "ROOT", folder)
        monkeypatch.setattr(self.bootstrap, "VENV", folder / ".venv")
        monkeypatch.setattr(self.bootstrap, "STAMP", folder / ".venv" / "ojito-setup.json")
        monkeypatch.setattr(self.bootstrap.subprocess, "call", self.call)
        self.python = folder / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    def call(self, line, **options):
        words = list(map(str, line[1:]))
        if words[0] == "-c" and "find_spec" in words[1]:
            return 0 if self.has_pip else 1
        self.calls.append(" ".join(words))
        code = next((code for part, code in self.codes.items() if part in self.calls[-1]), 0)
        if words[:2] == ["-m", "venv"] and code == 0:
            self.python.parent.mkdir(parents=True, exist_ok=True)
            self.python.write_text("")
            (self.folder / ".venv" / "pyvenv.cfg").write_text("version = 3.11")
            self.has_pip = True
        return code

    def run(self, *words):
        self.calls.clear()
        return self.bootstrap.main(words)

    @property
    def installs(self):
        return [call for call in self.calls if "pip install" in call]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def test_demo_makes_the_environment_installs_and_runs(machine):
    assert machine.run("demo", "--short") == 0
    venv, install, demo = machine.calls
    assert venv.startswith("-m venv")
    assert "-c constraints.txt -e .[photos]" in install
    assert demo == "-m ojito demo --short"


def test_second_call_installs_nothing(machine):
    machine.run("demo")
    assert machine.run("demo") == 0
    assert machine.calls == ["-m ojito demo"]


def test_tests_need_another_extra_than_the_demo_and_then_both_are_there(machine):
    machine.run("demo")
    machine.run("test")
    assert len(machine.installs) == 1
    assert ".[dev]" in machine.installs[0]
    machine.run("demo")
    assert not machine.installs


def test_demo_needs_nothing_more_after_the_tests(machine):
    machine.run("setup")
    machine.run("demo")
    assert not machine.installs


def test_docs_need_an_extra_that_the_tests_do_not_bring(machine, capsys):
    machine.run("setup")
    assert machine.run("docs") == 0
    assert ".[docs]" in machine.installs[0]
    assert machine.calls[-1].startswith("-m sphinx -q -W --keep-going")
    assert "index.html" in capsys.readouterr().out
    machine.run("docs")
    assert not machine.installs


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg"])
def test_changed_requirements_or_python_install_again(machine, name):
    machine.run("demo")
    (machine.folder / name).write_text("changed")
    machine.run("demo")
    assert machine.installs


def test_moved_folder_installs_again(machine, monkeypatch, tmp_path):
    machine.run("demo")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        (moved / name).write_text(name)
    monkeypatch.setattr(machine.bootstrap, "ROOT", moved)
    machine.run("demo")
    assert machine.installs


@pytest.mark.parametrize("damage", ["{", "[]", '{"extras": ["dev"]}'])
def test_damaged_stamp_installs_again(machine, damage):
    machine.run("demo")
    machine.bootstrap.STAMP.write_text(damage)
    machine.run("demo")
    assert machine.installs


def test_environment_without_pip_is_made_anew(machine):
    machine.run("demo")
    machine.has_pip = False
    machine.run("demo")
    assert machine.calls[0].startswith("-m venv --clear")


def test_failed_install_runs_nothing_and_names_the_remedy(machine, capsys):
    machine.codes["pip install"] = 1
    assert machine.run("demo") == 2
    assert "PIP_INDEX_URL" in capsys.readouterr().err
    assert not any("ojito demo" in call for call in machine.calls)
    machine.codes.clear()
    assert machine.run("demo") == 0
    assert machine.installs


def test_missing_venv_module_names_the_package(machine, capsys):
    machine.codes["-m venv"] = 1
    assert machine.run("test") == 2
    assert "python3-venv" in capsys.readouterr().err


def test_old_python_is_told_which_one_is_needed(machine, monkeypatch, capsys):
    monkeypatch.setattr(machine.bootstrap.sys, "version_info", (3, 9, 1))
    assert machine.run("demo") == 2
    assert "Python 3.10 or newer is needed" in capsys.readouterr().err
    assert not machine.calls


def test_old_python_can_read_the_file():
    ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_bootstrap_imports_the_standard_library_only():
    tree = ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"))
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def test_exit_code_of_the_command_is_passed_on(machine):
    machine.codes["-m pytest"] = 1
    assert machine.run("test") == 1


def test_lint_stops_at_the_first_linter_that_complains(machine):
    machine.codes["mypy"] = 1
    assert machine.run("lint") == 1
    assert not any("importlinter" in call for call in machine.calls)


def test_slow_tests_are_run_apart(machine):
    machine.run("test", "-x")
    stuck = "-o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true"
    assert machine.calls[-1] == f"-m pytest -n 2 -m not slow {stuck} -x"
    machine.run("test-slow")
    assert machine.calls[-1] == "-m pytest -m slow"


@pytest.mark.parametrize(("words", "said"), [(("tset",), "'tset' is not a command"), (("lint", "x"), "no arguments")])
def test_mistyped_command_is_one_line_and_exit_code_2(machine, capsys, words, said):
    assert machine.run(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not machine.calls


def test_no_command_lists_them_all(machine, capsys):
    assert machine.run() == 2
    assert machine.run("--help") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("demo", "test", "test-slow", "lint", "setup"))
