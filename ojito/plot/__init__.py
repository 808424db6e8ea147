"""The curves of runs: `curves` reads them from metrics.jsonl, `chart` draws them, `text` shows them on a terminal."""

from ojito.plot.curves import Curve, Run, read_run

__all__ = ["Curve", "Run", "read_run"]
