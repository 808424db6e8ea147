"""Scores of captions as papers print them: CIDEr, BLEU and ROUGE-L, equal to those of COCO's evaluation.

    from ojito.evaluate.captions import cider

    score = cider(["a dog runs on grass"], [["a dog is running", "the dog runs"]])
    score.interval()    # where it lies with 95% probability, for other images of the same kind

Captions are cut into words as those scores do it, see `tokenize`.
"""

from ojito.evaluate.metrics.bleu import bleu
from ojito.evaluate.metrics.cider import cider
from ojito.evaluate.metrics.hallucination import Chair, chair
from ojito.evaluate.metrics.ptb import tokenize
from ojito.evaluate.metrics.rouge import rouge_l
from ojito.evaluate.metrics.score import Difference, Score, compare

__all__ = ["Chair", "Difference", "Score", "bleu", "chair", "cider", "compare", "rouge_l", "tokenize"]
