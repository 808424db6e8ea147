"""What an answer costs: `run` measures it, `roofline` says what the machine would allow, `page` draws it."""

from ojito.bench.run import Bench, Case, Measured, bench

__all__ = ["Bench", "Case", "Measured", "bench"]
