"""The command line itself: its table of commands, `--help` without waiting, and how every command ends."""

import json
import os
import subprocess
import sys

import pytest

import ojito.commands.presets
from ojito.commands.table import COMMANDS
from ojito.errors import OjitoError


def python(*words):
    """Python in a process of its own, with these words after it."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


# --------------------------------------------------------------------------------------------------- help, and no torch


def test_help_and_mistakes_do_not_wait_for_torch():
    code = """
import sys
from ojito.cli import main
from ojito.commands.table import COMMANDS
assert main(["--help"]) == main([]) == main(["--version"]) == 0
for command in COMMANDS:
    assert main([command.name, "--help"]) == 0
assert main(["trian"]) == main(["train", "--stps", "3"]) == main(["train", "train.lrr=1"]) == 2
assert main(["train", "--print-config"]) == main(["settings"]) == 0
slow = {"torch", "PIL", "numpy", "transformers", "tokenizers"} & set(sys.modules)
assert not slow, slow
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_needs_neither_yaml_nor_rich():
    code = "import sys, ojito.cli as c; c.main(['train', '--help']); assert not {'yaml', 'rich'} & set(sys.modules)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_overview_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")][: len(COMMANDS)] == [
        "demo",
        "train",
        "data",
        "pack-data",
        "build",
        "caption",
        "ask",
        "detect",
        "segment",
        "eval",
        "compare",
        "doctor",
        "look",
        "trace",
        "convert",
        "info",
        "bench",
        "plot",
        "learn",
        "parts",
        "presets",
        "settings",
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_each_command_has_the_common_flags_and_an_example(run, command):
    code, out, err = run(command.name, "--help")
    assert (code, err) == (0, "")
    assert all(flag in out for flag in ("--json", "--device", "--seed", command.example))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_flag_says_what_it_does(command):
    assert all(argument.options.get("help") for argument in command.arguments)


def test_module_runs_as_the_command():
    done = python("-m", "ojito", "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "ojito")
    assert python("-m", "ojito", "nonsense").returncode == 2


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "'trian' is not a command; did you mean train?"),
        ("zzz", "'zzz' is not a command; choose from demo, train, data, pack-data, build"),
        ("train --stps 3", "train does not take '--stps'; did you mean --steps?"),
        ("train --steps=x", "invalid int value: 'x'; see `ojito train --help`"),
        ("train --steps", "expected one argument"),
        ("presets now", "presets does not take 'now'"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, words, said):
    assert said in refused(*words.split())


WORDS = [
    (command.name, argument)
    for command in COMMANDS
    for argument in command.arguments
    if argument.options.get("metavar") in ("MODEL", "FOLDER", "FILE", "PATH", "DATA", "IMAGE")
]


@pytest.mark.parametrize(("command", "argument"), WORDS, ids=lambda value: str(getattr(value, "names", value)))
def test_empty_path_is_refused_by_the_name_of_its_argument(refused, command, argument):
    (flag,) = argument.names
    for empty in ("", " "):
        required = {
            a.names[0]: "x"
            for c in COMMANDS
            if c.name == command
            for a in c.arguments
            if a.options.get("required") or (a.names[0][0] != "-" and a.options.get("nargs") != "*")
        }
        required[flag] = empty
        words = [f"{name}={value}" if name[0] == "-" else value for name, value in required.items()]
        name = flag if flag[0] == "-" else argument.options["metavar"]
        said = refused(command, *words)
        assert said.startswith(f"ojito: error: argument {name}: {empty!r} is empty; give a path or a name;")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize(
    ("seed", "said"),
    [
        (2**63, "9223372036854775808 is too large for PyTorch; use a number below 2**63"),
        (10**23 - 1, "99999999999999999999999 is too large for PyTorch; use a number below 2**63"),
        ("x", "'x' is not a whole number; write for example 4"),
    ],
)
def test_seed_is_refused_alike_by_every_command(refused, command, seed, said):
    required = [
        "x" if a.names[0][0] != "-" else f"{a.names[0]}=x"
        for a in command.arguments
        if a.options.get("required") or (a.names[0][0] != "-" and a.options.get("nargs") != "*")
    ]
    assert f"argument --seed: {said}; see" in refused(command.name, *required, "--seed", seed)


def test_example_of_build_names_models_of_the_hub():
    (example,) = (command.example for command in COMMANDS if command.name == "build")
    words = example.split()
    for flag in ("--vision", "--decoder"):
        assert "/" in words[words.index(flag) + 1]


def test_debug_shows_where_a_mistake_comes_from(run, monkeypatch):
    monkeypatch.setenv("OJITO_DEBUG", "1")
    code, out, err = run("train", "train.lrr=1")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback")
    assert err.splitlines()[-1] == "ojito: error: train.lrr: unknown setting; did you mean lr?"


def fail(monkeypatch, error):
    """Makes `ojito presets` raise this."""

    def run(args):
        raise error

    monkeypatch.setattr(ojito.commands.presets, "run", run)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OjitoError("a.jsonl:3", "is not JSON", "correct the line"), "a.jsonl:3: is not JSON; correct the line"),
        (OjitoError("a.jsonl", "has bad rows", "mend them", ["row 3"]), "a.jsonl: has bad rows; mend them\n  row 3"),
        (FileNotFoundError(2, "No such file or directory", "x/y.json"), "x/y.json: No such file or directory"),
        (PermissionError(13, "Permission denied", "out"), "out: Permission denied"),
        (OSError(28, "No space left on device"), "the disk is full; free some space, or write to another disk"),
    ],
)
def test_mistake_of_the_user_shows_no_traceback(run, monkeypatch, error, message):
    fail(monkeypatch, error)
    assert run("presets") == (2, "", f"ojito: error: {message}\n")


@pytest.mark.parametrize(
    "error",
    [ValueError("not ours"), TypeError("x"), KeyError("x"), RuntimeError("x"), AssertionError(), OSError("no name")],
    ids=lambda error: type(error).__name__,
)
def test_anything_else_is_a_bug_with_its_traceback_and_where_to_report_it(run, monkeypatch, error):
    """Wherever it is raised: this function stands in for our own code as well as for a library's."""
    fail(monkeypatch, error)
    code, out, err = run("presets")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):")
    assert "in run\n" in err
    assert err.splitlines()[-1].startswith("ojito: error: this is a bug in Ojito: please report it")


def test_error_of_another_library_is_a_bug(run, monkeypatch):
    monkeypatch.setattr(ojito.commands.presets, "run", lambda args: json.loads("{"))
    code, _, err = run("presets")
    assert code == 1
    assert "Expecting property name" in err


def test_interrupt_is_exit_code_130(run, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(ojito.commands.presets, "run", interrupt)
    assert run("presets") == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "ojito", "train", "--print-config"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    process.stdout.close()  # before anything is written
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
