"""The model: pixels and tokens to logits. Start at `vlm.py`.

Letters in shapes, here and in every file of this package:

    B rows          T query positions    S key positions    D width
    H query heads   G key/value heads    K head size        F hidden width of an MLP
    V vocabulary    N images             P patches          c, h, w channels, height, width in pixels

Two habits hold throughout. Every learned table (tokens, positions, queries) is an `nn.Embedding`, so that the weights
of `nn.Linear` are exactly the matrices that map hidden to hidden, plus an untied head. And no part keeps a buffer that
its state dict lacks, so that a model built on `meta` is complete once its state dict is loaded.
"""

from ojito.model.cache import Columns, KVCache
from ojito.model.masks import AttentionMetadata
from ojito.model.vlm import VLM

__all__ = ["VLM", "AttentionMetadata", "Columns", "KVCache"]
