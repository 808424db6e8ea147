"""The watched process: all the cases where memory is limited, and every file that Python opens is heard of.

`python -m tests.hostile.watched PLACE SHARE` writes what it found as JSON; of SHARE cases it tries one.
"""

import contextlib
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.hostile.attempt import attempt
from tests.hostile.cases import CASES
from tests.hostile.changes import canary
from tests.hostile.good_folders import KINDS, Good, make
from tests.hostile.nonsense import GIANT, walk

ROOT = Path(__file__).parents[2]
MEMORY = 256 * 2**20  # bytes, over those of a process that has loaded a good model
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "pickle.",
             "ctypes.", "os.remove", "os.rename", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate",
             "shutil.", "marshal.", "os.putenv", "urllib.", "ftplib.", "http.")  # fmt: skip


class Watch:
    """Hears of what Python does while it is on."""

    def __init__(self):
        self.folder, self.seen, self.opened = None, [], 0
        installed = {sys.prefix, sys.base_prefix, str(ROOT / "ojito")}
        self.allowed = [os.path.realpath(place) + os.sep for place in installed] + ["/proc/meminfo"]
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        if self.folder is None:
            return
        if event == "open" and isinstance(args[0], (str, bytes)):
            path, (mode, flags) = os.path.realpath(os.fsdecode(args[0])), args[1:3]
            self.opened += 1
            if not path.startswith((str(self.folder) + os.sep, *self.allowed)):
                self.seen.append(f"opened {path}")
            if set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"wrote {path}")
        elif event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {str(args)[:200]}")
        elif event == "import" and args[1] and str(self.folder) in str(args[1]):
            self.seen.append(f"imported {args[0]}")
        elif event in ("compile", "exec"):
            code = getattr(args[0], "co_filename", args[1] if len(args) > 1 else "")
            if str(self.folder) in str(code):
                self.seen.append(f"{event} {code}")


def try_out(watch, limit, place):
    """Whether the watch hears, and the limit holds: else all that follows would prove nothing."""
    (place / "outside").write_bytes(pickle.dumps(1))
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    watch.folder = place / "inside"
    pickle.loads((place / "outside").read_bytes())
    with contextlib.suppress(FileNotFoundError):
        subprocess.run([str(place / "inside")], check=False)
    with pytest.raises(MemoryError):
        bytearray(MEMORY + 64 * 2**20)  # what was free before is not in the limit
    watch.folder = None
    heard = " ".join(watch.seen)
    assert f"opened {place / 'outside'}" in heard
    assert "subprocess.Popen" in heard
    watch.seen.clear()


def main(place, share):
    """Tries the cases in a folder, and prints how many there were and what was wrong."""
    place, made = Path(os.path.realpath(place)), {}
    for kind in KINDS:
        make(place / f"good-{kind}", kind)
        made[kind] = Good.of(place / f"good-{kind}")
    watch, wrong, count = Watch(), [], 0
    status = Path("/proc/self/status").read_text()
    limit = int(re.search(r"VmSize:\s+(\d+) kB", status)[1]) * 1024 + MEMORY
    try_out(watch, limit, place)
    for number, (name, one) in enumerate(CASES.items()):
        if number % share != share - 1:
            continue
        with tempfile.TemporaryDirectory(dir=place) as parent:
            folder = made[one.kind].copy(Path(os.path.realpath(parent)) / "model")
            try:
                one.change(folder)
            except pytest.skip.Exception:
                continue
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            watch.folder = folder
            said, found = attempt(folder, made[one.kind].state)
            watch.folder = None
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            count += 1
            if canary(folder).exists():
                found = [*found, "ran code"]
            wrong += [f"{name}: {complaint} ({said[:100]})" for complaint in [*found, *watch.seen]]
            watch.seen.clear()
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    for kind in KINDS:
        if kind != "llava-shards":
            walked, found = walk(made, place / f"walked-{kind}", kind, "config.json", GIANT[::share])
            count, wrong = count + walked, wrong + found
    print(json.dumps({"count": count, "wrong": wrong, "opened": watch.opened}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
