"""Generation: `options` says how, `engine` goes token by token, `sampling` or `beam` chooses, `stops` ends a text."""

from ojito.generate.engine import Generation, State, evaluating, generate, prefill, step, stream
from ojito.generate.options import GenerateOptions, OptionKeywords, make_options, options_of_rows
from ojito.generate.sampling import Greedy, Sampler, Temperature, TopK, TopP
from ojito.generate.stops import Finish, StopTexts

__all__ = [
    "Finish",
    "GenerateOptions",
    "Generation",
    "Greedy",
    "OptionKeywords",
    "Sampler",
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
