"""Generation: from the logits of a model to the tokens of an answer.

`options` says how; `engine` goes token by token, with `rows` and `state`; `choosing`, `sampling` and `beam` choose a
token; `stops` ends a text. `scheduler` lets rows join and leave, `prefix` remembers images, `lookup` guesses tokens
that repeat. `model` says what a model must be able to do.
"""

from ojito.generate.engine import generate, prefill, step, stream
from ojito.generate.model import Model, evaluating
from ojito.generate.options import Allowed, GenerateOptions, OptionKeywords, make_options, options_of_rows
from ojito.generate.prefix import PrefixCache
from ojito.generate.rows import Generation
from ojito.generate.sampling import Greedy, Sampler, Temperature, TopK, TopP
from ojito.generate.scheduler import Request, Scheduler
from ojito.generate.state import State
from ojito.generate.stops import Finish, StopTexts

__all__ = [
    "Allowed",
    "Finish",
    "GenerateOptions",
    "Generation",
    "Greedy",
    "Model",
    "OptionKeywords",
    "PrefixCache",
    "Request",
    "Sampler",
    "Scheduler",
    "State",
    "StopTexts",
    "Temperature",
    "TopK",
    "TopP",
    "evaluating",
    "generate",
    "make_options",
    "options_of_rows",
    "prefill",
    "step",
    "stream",
]
