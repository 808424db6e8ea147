"""Where the figures of a run are written: `metrics` sends each line to metrics.jsonl, and to what else was asked for.

`jsonl`, `tensorboard` and `wandb` are one sink each.
"""

from ojito.trainer.logs.metrics import Metrics, check_logs
from ojito.trainer.logs.sink import Sink

__all__ = ["Metrics", "Sink", "check_logs"]
