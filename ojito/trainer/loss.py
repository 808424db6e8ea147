"""The loss: cross-entropy of the labelled tokens."""

from __future__ import annotations

from torch import Tensor

from ojito.model import VLM
from ojito.records import IGNORE, Batch
from ojito.trainer.chunked_loss import summed_loss


def token_loss(model: VLM, batch: Batch) -> Tensor:
    """Return the SUM of the cross-entropies of a batch's labelled tokens, in nats.

    Divide it by the tokens of the whole step, `count_labels` of all its micro-batches together: a mean of their means
    would weigh a token in a batch of short answers more than one in a batch of captions.

    The head runs at labelled positions only, and over a large vocabulary in chunks of them. Logits are the largest
    tensor of a small model, and most positions have no label.
    """
    labelled = batch.targets != IGNORE  # (B, T)
    return summed_loss(model, model.features(batch)[labelled], batch.targets[labelled])


def count_labels(batch: Batch) -> int:
    """Return the number of labelled tokens in a batch."""
    return int((batch.targets != IGNORE).sum())
