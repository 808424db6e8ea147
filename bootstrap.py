"""Set up `.venv` beside this file and run Ojito in it: `python bootstrap.py demo`. Standard library only.

The first call installs what is needed, in the versions of constraints.txt; later calls find that nothing has changed
and start at once. pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, ...) are honoured.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple  # noqa: UP035 - an old Python must get as far as the message below

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "ojito-setup.json"
OLDEST = (3, 10)

LINT_IMPORTS = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports(no_logo=True))"

# A test that hangs shows where, and fails; the others go on.
STUCK = ["-o", "faulthandler_timeout=300", "-o", "faulthandler_exit_on_timeout=true"]

# command: (description, extra that it needs, arguments of the interpreter in .venv)
COMMANDS: Dict[str, Tuple[str, str, List[List[str]]]] = {  # noqa: UP006
    "demo": ("train the tiny model, and report what it sees", "photos", [["-m", "ojito", "demo"]]),
    "test": ("run the tests, without the slow ones", "dev", [["-m", "pytest", "-n", "2", "-m", "not slow", *STUCK]]),
    "test-slow": ("run the slow tests", "dev", [["-m", "pytest", "-m", "slow"]]),
    "full-size": ("load and ask a model of 2.9 billion parameters", "dev", [["-m", "benchmarks.full_size"]]),
    "real": ("check real files of the package index (111 MB)", "dev", [["-m", "benchmarks.real"]]),
    "lint": (
        "check style, types and the import rule",
        "dev",
        [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"], ["-m", "mypy"], ["-c", LINT_IMPORTS]],
    ),
    "docs": (
        "build the documentation site into build/docs",
        "docs",
        [["-m", "sphinx", "-q", "-W", "--keep-going", "-d", "build/docs-cache", "docs", "build/docs"]],
    ),
    "setup": ("only set up .venv, with everything for development", "dev", []),
}


class SetupError(Exception):
    """A problem that the user has to solve, with the remedy."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python bootstrap.py COMMAND [ARGUMENT ...]\n")
        for name, (about, _, _) in COMMANDS.items():
            print(f"  {name:<11}{about}")
        return 0 if arguments else 2
    name, rest = arguments[0], list(arguments[1:])
    try:
        if name not in COMMANDS:
            raise SetupError(f"{name!r} is not a command; choose from {', '.join(COMMANDS)}")
        _, extra, lines = COMMANDS[name]
        if rest and len(lines) != 1:
            raise SetupError(f"{name} takes no arguments, but got {' '.join(rest)!r}")
        python = set_up(extra)
        for line in lines:
            code = subprocess.call([str(python), *line, *rest], cwd=str(ROOT))
            if code:
                return code
    except SetupError as error:
        print(f"bootstrap: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if name == "docs":
        print(f"built; open {ROOT / 'build' / 'docs' / 'index.html'}")
    if not lines:
        print(f"{VENV} is ready; next: python bootstrap.py demo")
    return 0


def set_up(extra: str) -> Path:
    """Make `.venv` and install Ojito with `extra`, unless that is done already; return the interpreter in it.

    Raises:
        SetupError: Python is too old, or has no venv; pip failed.
    """
    if sys.version_info[:2] < OLDEST:
        raise SetupError(
            f"Python {'.'.join(map(str, OLDEST))} or newer is needed, and {sys.executable} is "
            f"{'.'.join(map(str, sys.version_info[:3]))}; start bootstrap.py with a newer one, "
            "for example `python3.12 bootstrap.py demo`, or `make demo PYTHON=python3.12`"
        )
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not works(python):
        print(f"Making {VENV} ...", flush=True)
        # A folder that exists but does not work is left over from an interruption or a removed Python: start over.
        if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]):
            raise SetupError(
                f"{sys.executable} could not make a virtual environment (its messages are above); on Debian and Ubuntu "
                "`sudo apt install python3-venv` helps, elsewhere a Python from python.org"
            )
    fingerprint = state()
    extras = installed(fingerprint)
    # "dev" contains "photos", so the demo needs nothing more than the tests.
    if extra in extras or (extra == "photos" and "dev" in extras):
        return python
    print(f"Installing Ojito and what it needs (extra: {extra}) into {VENV}; this takes minutes, once ...", flush=True)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "-c", "constraints.txt", "-e", f".[{extra}]"]
    code = subprocess.call([str(python), *install], cwd=str(ROOT))
    if code:
        raise SetupError(
            f"pip stopped with exit code {code} (its messages are above), and nothing was started. Without a network, "
            "or behind a proxy, point pip to packages that it can reach: PIP_INDEX_URL, PIP_FIND_LINKS or PIP_PROXY. "
            "Then run the same command again"
        )
    STAMP.write_text(json.dumps({"fingerprint": fingerprint, "extras": [*extras, extra]}), encoding="utf-8")
    return python


def works(python: Path) -> bool:
    """Whether this interpreter runs and has pip."""
    # pip is looked up and not imported: 0.05 s instead of 0.5 s at each start.
    check = "import sys, importlib.util as u; sys.exit(u.find_spec('pip') is None)"
    try:
        return python.exists() and subprocess.call([str(python), "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def state() -> str:
    """Return a fingerprint of what decides on the installation: requirements, interpreter, and this folder's path."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "pyproject.toml", ROOT / "constraints.txt", VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(fingerprint: str) -> List[str]:  # noqa: UP006
    """Return the extras that an earlier call installed in this state; none if its note is missing or damaged."""
    try:
        note = json.loads(STAMP.read_text(encoding="utf-8"))
        return list(note["extras"]) if note["fingerprint"] == fingerprint else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
