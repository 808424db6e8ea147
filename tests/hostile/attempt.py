"""How a folder loads, and what is wrong with that: other weights, another error than ours, a line without a remedy."""

import re
import signal

import torch

from ojito.checkpoint.files import CheckpointError
from ojito.loading import load
from ojito.settings import ConfigError

SECONDS = 20  # a case that takes longer hangs; a usual one takes 0.05
LINE = 2100  # characters


class Hung(KeyboardInterrupt):
    """An interrupt, so that nothing on the way takes it for an error."""


def alarm(*_):
    raise Hung


def attempt(folder, state):
    """What is wrong with how this folder loads; nothing, if it loads the good weights or ends as it should.

    Returns:
        The message of the error, "" if it loads; and the complaints.
    """
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        found = load(folder, "cpu", "float32").model.state_dict()
    except (CheckpointError, ConfigError) as error:
        return str(error), list(complaints(folder, str(error)))
    except Hung:
        return "", [f"took more than {SECONDS} s"]
    except ValueError as error:
        return str(error), [] if "GiB for its weights" in str(error) else [f"ValueError: {error}"]
    except BaseException as error:  # noqa: BLE001 - that is what the tests are about
        return "", [f"{type(error).__name__}: {str(error)[:300]}"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # A config may say that the head is the embedding: then the file's own head is not loaded.
    same = all(key in state and torch.equal(tensor, state[key]) for key, tensor in found.items())
    return "", [] if same else ["loads other weights"]


def complaints(folder, message):
    """What an error of ours should not be like."""
    if not message.isprintable() or len(message) > LINE:
        yield f"not one printable line: {message[:300]!r}"
    if str(folder) not in message:
        yield f"does not name the file: {message[:300]}"
    if not re.search(r"; |must |did you mean|, not \d", message):
        yield f"no remedy: {message[:300]}"
