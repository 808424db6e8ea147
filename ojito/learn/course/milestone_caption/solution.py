"""The third milestone, solved. In the library: ojito/model/vlm.py and ojito/generate/engine.py."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

PREDICTION = "c"


def of_part(weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights whose names begin with "vision." or "decoder.", without that beginning."""
    return {name.removeprefix(part): weight for name, weight in weights.items() if name.startswith(part)}


def see(images: Tensor, weights: dict[str, Tensor], config: dict[str, Any], parts: Mapping[str, ModuleType]) -> Tensor:
    """Images as visual tokens.

    Args:
        images: Pixels (N, 3, h, w).
        weights: "vision.patch" and so on, as `encode` knows them but for the part in front; and the connector's.
        config: `config["vision"]` has "layers", "heads", "size" (of a patch) and "eps".
        parts: Your modules, by lesson.

    Returns:
        (N, P, D), where D is the decoder's width.
    """
    vision = config["vision"]
    sizes = {name: vision[name] for name in ("layers", "heads", "size", "eps")}
    patches = parts["milestone_encode"].encode(images, of_part(weights, "vision."), **sizes, parts=parts)
    return parts["07_connector"].project(patches, weights)


def read(
    visual: Tensor,
    ids: Tensor,
    prefix_lengths: Tensor,
    weights: dict[str, Tensor],
    config: dict[str, Any],
    parts: Mapping[str, ModuleType],
) -> Tensor:
    """Logits of rows with an image each.

    Args:
        visual: Visual tokens (B, P, D), an image's for each row.
        ids: (B, T), with P placeholders `config["image_token"]` in each row.
        prefix_lengths: (B,), how many positions of a row are image and question, which see each other.
        weights: "decoder.embedding" and so on, as `decode` knows them but for the part in front.
        config: `config["decoder"]` has "width", "layers", "heads", "kv_heads", "head_size", "theta" and "eps".
        parts: Your modules, by lesson.

    Returns:
        (B, T, V).
    """
    own, decoder = of_part(weights, "decoder."), config["decoder"]
    sizes = {name: decoder[name] for name in ("layers", "heads", "kv_heads", "head_size", "theta", "eps")}
    embeddings = own["embedding"][ids] * decoder["width"] ** 0.5  # (B, T, D): of text, as Gemma scales them
    is_image = ids == config["image_token"]  # (B, T)
    merged = parts["07_connector"].merge(embeddings, visual, is_image)  # (B, T, D): with the visual tokens
    mask = parts["10_masks"].prefix(ids.shape[1], prefix_lengths)[:, None]  # (B, 1, T, T): for all heads alike
    return parts["milestone_decode"].decode(merged, own, **sizes, mask=mask, parts=parts)


def answer(
    image: Tensor,
    question: list[int],
    separator: list[int],
    steps: int,
    weights: dict[str, Tensor],
    config: dict[str, Any],
    parts: Mapping[str, ModuleType],
) -> list[int]:
    """The likeliest answer to a question about an image.

    Args:
        image: (h, w, 3) uint8, of the size that the model reads.
        question: Its ids.
        separator: Ids that end a question.
        steps: Most tokens of the answer.
        weights: Of the whole model.
        config: Of the whole model, with "image_token", "bos" and "eos".
        parts: Your modules, by lesson.

    Returns:
        Ids of the answer, without eos.
    """
    half = torch.full((3,), 0.5)  # mean and standard deviation of SigLIP's pixels
    pixels = parts["02_patches"].to_pixels(image, half, half)  # (3, h, w)
    visual = see(pixels[None], weights, config, parts)  # (1, P, D): once, however long the answer
    P = visual.shape[1]
    prompt = parts["06_prompt"].prompt(config["image_token"], P, config["bos"], question, separator)  # a list of ids
    prefix_lengths = torch.tensor([len(prompt)])  # (1,): it does not grow with the answer
    so_far = []

    def step(ids: Tensor, start: int) -> Tensor:
        """Logits after ids (1, t), the first of which is at position `start`."""
        so_far.append(ids)
        everything = torch.cat(so_far, dim=1)  # (1, start + t): all that was read, since `decode` keeps no cache
        return read(visual, everything, prefix_lengths, weights, config, parts)

    return parts["11_cache"].generate_greedy(step, torch.tensor([prompt]), steps, config["eos"])[0]
