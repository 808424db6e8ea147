"""Several processes that train together over gloo, forked from the test, which has everything loaded."""

import contextlib
import json
import os
import signal
import socket
import sys
import traceback


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Together:
    """`count` processes, each of which makes the call with its rank, and what it returned.

    Args:
        count: Processes.
        call: Called with the rank; returns what JSON can hold.
    """

    def __init__(self, count, call):
        environment = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        self.pids, self._pipes = [], []
        for rank in range(count):
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(rank))
                _answer(call, rank, write)
            os.close(write)
            self.pids.append(pid)
            self._pipes.append(read)

    def kill(self, rank, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[rank], number)

    def results(self):
        """What each process returned; the error that ended it, in words; or None of one that was killed."""
        found = []
        for pid, pipe in zip(self.pids, self._pipes, strict=True):
            with os.fdopen(pipe, "rb") as file:
                text = file.read()
            os.waitpid(pid, 0)
            found.append(json.loads(text) if text else None)
        return found


def together(count, call):
    """What the call returns on each rank; an error on any of them is one of the test."""
    results = Together(count, call).results()
    assert not any(isinstance(result, dict) and "error" in result for result in results), results
    return results


def _answer(call, rank, write):
    result = None
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        result = call(rank)
    except BaseException as error:  # noqa: BLE001 - told to the test
        traceback.print_exc(file=sys.stderr)
        result = {"error": f"{type(error).__name__}: {error}"}
    finally:
        os.write(write, json.dumps(result).encode())
        os._exit(0)
