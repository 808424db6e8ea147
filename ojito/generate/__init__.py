"""Generation: `engine` goes token by token, `sampling` chooses each. Start at `engine.py`."""

from ojito.generate.engine import Generation, evaluating, generate, stream
from ojito.generate.sampling import Greedy, Sampler, Temperature, TopK, TopP, choose

__all__ = [
    "Generation",
    "Greedy",
    "Sampler",
    "Temperature",
    "TopK",
    "TopP",
    "choose",
    "evaluating",
    "generate",
    "stream",
]
