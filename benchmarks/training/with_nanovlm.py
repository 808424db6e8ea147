"""nanoVLM's step: its own model, and what its train.py does between one batch and the next."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.cases import Case, batch_of
from benchmarks.training.timing import timed
from ojito.records import IMAGE

_IMAGE_TOKEN = 49151


def step(folder: Path, case: Case, precision: str, device: torch.device, steps: int) -> dict[str, Any]:
    """Times and memory of some steps.

    Args:
        folder: A checkout of nanoVLM.
        case: The shape: that of the published 222M.
        precision: float32 or bfloat16, by autocast.
        device: That trains.
        steps: That count.
    """
    config = case.config().model
    # Its tokenizer would be fetched, and is needed for the id of the image token alone.
    processors = types.ModuleType("data.processors")
    processors.get_tokenizer = lambda *_: types.SimpleNamespace(image_token_id=_IMAGE_TOKEN)  # type: ignore[attr-defined]
    sys.modules |= {"data": types.ModuleType("data"), "data.processors": processors}
    sys.path.insert(0, str(folder))
    from models.config import VLMConfig
    from models.vision_language_model import VisionLanguageModel

    vision, decoder = config.vision, config.decoder
    torch.manual_seed(0)
    model = VisionLanguageModel(
        VLMConfig(
            vit_hidden_dim=vision.width, vit_inter_dim=vision.mlp_dim, vit_patch_size=vision.patch_size,
            vit_img_size=vision.image_size, vit_n_heads=vision.heads, vit_n_blocks=vision.layers,
            lm_hidden_dim=decoder.width, lm_inter_dim=decoder.mlp_dim, lm_vocab_size=decoder.vocab_size,
            lm_n_heads=decoder.heads, lm_n_kv_heads=decoder.kv_heads, lm_n_blocks=decoder.layers,
            mp_pixel_shuffle_factor=config.connector.factor, mp_image_token_length=config.image_tokens,
        ),
        load_backbone=False,
    ).to(device).train()  # fmt: skip
    optimizer = torch.optim.AdamW(
        [
            {"params": [*model.MP.parameters()], "lr": 1e-4},
            {"params": [*model.vision_encoder.parameters()], "lr": 1e-5},
            {"params": [*model.decoder.parameters()], "lr": 1e-5},
        ]
    )
    every = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    batch = batch_of(config, case, case.rows).to(device)
    tokens = batch.tokens.masked_fill(batch.tokens == _IMAGE_TOKEN, 7).masked_fill(batch.tokens == IMAGE, _IMAGE_TOKEN)
    mask = torch.ones_like(tokens)

    def once() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            _, loss = model(tokens, batch.images, attention_mask=mask, targets=batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(every, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return timed(once, case.rows, device, steps)
