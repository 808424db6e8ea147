"""What to look for, and whether a model can say where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ojito.errors import OjitoError
from ojito.locate.boxes import BETWEEN
from ojito.processor import Processor

Task = Literal["detect", "segment"]

_TOKENS: dict[Task, tuple[str, ...]] = {"detect": ("<loc0000>",), "segment": ("<loc0000>", "<seg000>")}


def split_things(things: str | Sequence[str], task: Task) -> list[str]:
    """Return the names of the things to look for.

    Args:
        things: "cat ; dog", or ["cat", "dog"].
        task: What is to be done with them, for the message.

    Raises:
        OjitoError: One has no name, or there is none.
    """
    names = [name.strip() for name in (things.split(";") if isinstance(things, str) else things)]
    if not all(names) or not names:
        raise OjitoError("things", f"{things!r} must name each thing to {task}", "give for example 'cat ; dog'")
    return names


def locating_prompt(names: Sequence[str], task: Task) -> str:
    """The prompt for these things, as PaliGemma was trained to read it: "detect cat ; dog"."""
    return f"{task} {BETWEEN.join(names)}"


def check_location_tokens(processor: Processor, task: Task, name: str) -> None:
    """Check that the tokenizer has location tokens; a model without them was never taught to say where things are.

    Args:
        processor: The processor of the model.
        task: Segmenting needs the tokens of masks, too.
        name: Name of the model, for the message.

    Raises:
        OjitoError: They are missing.
    """
    for token in _TOKENS[task]:
        ids = processor.tokenizer.encode(token)
        if len(ids) != 1 or processor.decode(ids) != token:
            raise OjitoError(
                name,
                f"the tokenizer has no token {token}, so the model cannot say where things are",
                "use PaliGemma, or a model that was trained with its tokenizer",
            )
