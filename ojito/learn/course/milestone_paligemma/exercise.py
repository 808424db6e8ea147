"""Milestone: PaliGemma. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md

PAD = 0  # fills the rows of a batch to one length; what it is does not matter where nobody learns from it


def ask(
    folder: Path, image: Tensor, question: list[int], separator: list[int], steps: int, parts: Mapping[str, ModuleType]
) -> list[int]:
    """Answer a question about an image with the model of a folder.

    Args:
        folder: Of a PaliGemma, in the public layout.
        image: (h, w, 3) uint8, of the size that the model reads.
        question: Its ids.
        separator: Ids that end a question.
        steps: Most tokens of the answer.
        parts: Your modules, by lesson.

    Returns:
        Ids of the answer, without eos.
    """
    weights, config = ...
    return ...


def collate(
    questions: list[list[int]],
    answers: list[list[int]],
    separator: list[int],
    count: int,
    config: dict[str, Any],
    parts: Mapping[str, ModuleType],
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of training, in one batch.

    Args:
        questions: Ids of a question for each row.
        answers: Ids of its answer, without eos.
        separator: Ids that end a question.
        count: Visual tokens of an image.
        config: Of the model, with "image_token", "bos" and "eos".
        parts: Your modules, by lesson.

    Returns:
        Ids (B, T), filled up with PAD at the end of the shorter rows. Labels (B, T): at each position the token that
        its logits are to predict, or lesson 6's IGNORE. Lengths of the prefixes (B,).
    """
    rows = parts["06_prompt"]
    lengths, all_ids, all_labels = [], [], []
    for question, answer in zip(questions, answers, strict=True):
        prompt = rows.prompt(config["image_token"], count, config["bos"], question, separator)
        ids, labels = rows.row(prompt, answer, config["eos"])
        lengths.append(...)  # how much of the row is read in both directions
        all_ids.append(ids)
        all_labels.append(...)  # as long as ids, each label where it is predicted
    longest = max(map(len, all_ids))
    ids = [one + [PAD] * (longest - len(one)) for one in all_ids]
    labels = ...  # nothing is learned from PAD
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(lengths)


class PaliGemma(nn.Module):
    """Your functions, with weights that learn: what lesson 13's `train_step` takes as its model.

    Args:
        weights: As `load` returns them.
        config: As `load` returns it.
        parts: Your modules, by lesson.
    """

    def __init__(self, weights: dict[str, Tensor], config: dict[str, Any], parts: Mapping[str, ModuleType]) -> None:
        super().__init__()
        self.config, self.parts = config, parts
        self.names = list(weights)
        # Copies, so that the weights that were given stay as they are. No dict: a parameter's name may have no dot.
        self.tensors = nn.ParameterList(...)  # one for each weight, in the order of the names

    def weights(self) -> dict[str, Tensor]:
        """The weights as they are now, by their names."""
        return dict(zip(self.names, self.tensors, strict=True))

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Logits (B, T, V) of images (B, 3, h, w), ids (B, T) and lengths of the prefixes (B,)."""
        images, ids, lengths = inputs
        weights, own = self.weights(), self.parts["milestone_caption"]
        visual = ...  # (B, P, D)
        return ...  # (B, T, V)
