"""`train`: from data to a trained model in one call; `prepare` makes the model and processor of a recipe.

`run` is the whole of it: read that first. `begin` makes what a run begins with, `scoring` scores it, `said` tells it.
"""

from ojito.training.begin import Data, prepare
from ojito.training.run import TrainResult, train

__all__ = ["Data", "TrainResult", "prepare", "train"]
