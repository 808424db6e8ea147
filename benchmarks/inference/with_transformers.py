"""transformers' part: the same shapes of its own classes, random weights, its own `generate` with sdpa."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import StoppingCriteria

from benchmarks.beside_transformers import paligemma_config
from benchmarks.inference.cases import Case
from benchmarks.inference.timing import median_ms, timed
from ojito.config import DecoderConfig, ModelConfig, ViTConfig
from ojito.meter.clock import wait


class Undrawn(TorchFunctionMode):
    """Mode in which initialization draws nothing: billions of numbers take minutes."""

    DRAWING = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.trunc_normal_,
               nn.init.xavier_uniform_)  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return [*args, *kwargs.values()][0] if func in self.DRAWING else func(*args, **kwargs)


class Steps(StoppingCriteria):
    """Notes each token that `generate` has chosen, and never stops it."""

    def __init__(self, done: Callable[[], None], device: torch.device) -> None:
        self.done, self.device = done, device

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        wait(self.device)
        self.done()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class TowerAndDecoder(nn.Module):
    """A SigLIP and a causal decoder with one matrix between them, for shapes that transformers has no class of."""

    def __init__(self, config: ModelConfig, image: bool) -> None:
        super().__init__()
        self.grid = config.vision.grid
        self.tokens = config.image_tokens
        self.decoder = transformers.AutoModelForCausalLM.from_config(decoder_config(config.decoder))
        self.vision = self.connector = None
        if image:
            self.vision = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**tower(config.vision)))
            folded = config.vision.width * (self.grid**2 // self.tokens)
            self.connector = nn.Linear(folded, config.decoder.width)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Visual tokens: blocks of patches folded, as pixel shuffle does, and projected."""
        patches = self.vision(pixel_values=pixels).last_hidden_state
        return self.connector(patches.reshape(len(pixels), self.tokens, -1))

    def generate(self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None = None, **how: Any) -> Any:
        """The decoder's own, after the images."""
        if pixel_values is None:
            return self.decoder.generate(input_ids=input_ids, **how)
        text = self.decoder.get_input_embeddings()(input_ids)
        return self.decoder.generate(inputs_embeds=torch.cat((self.encode(pixel_values), text), dim=1), **how)


def decoder_config(c: DecoderConfig) -> transformers.PretrainedConfig:
    """GPT-2 or LLaMA of this shape."""
    if c.positions == "learned":
        return transformers.GPT2Config(
            vocab_size=c.vocab_size, n_embd=c.width, n_layer=c.layers, n_head=c.heads, n_inner=c.mlp_dim,
            n_positions=c.max_positions, bos_token_id=0, eos_token_id=None,
        )  # fmt: skip
    return transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.width, num_hidden_layers=c.layers, num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads, head_dim=c.head_dim, intermediate_size=c.mlp_dim,
        max_position_embeddings=c.max_positions, tie_word_embeddings=c.tied_head, bos_token_id=0, eos_token_id=None,
    )  # fmt: skip


def tower(c: ViTConfig) -> dict[str, Any]:
    """SigLIP of this shape."""
    return {
        "hidden_size": c.width, "intermediate_size": c.mlp_dim, "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads, "image_size": c.image_size, "patch_size": c.patch_size,
        "vision_use_head": False,
    }  # fmt: skip


def made(case: Case, config: ModelConfig, dtype: torch.dtype) -> nn.Module:
    """The model, with numbers that overflow nowhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with Undrawn():
            if case.preset.startswith("paligemma") and case.image:
                model: Any = transformers.PaliGemmaForConditionalGeneration(paligemma_config(config))
            else:
                model = TowerAndDecoder(config, case.image)
    finally:
        torch.set_default_dtype(before)
    block = torch.randn(2**20 + 7, generator=torch.Generator().manual_seed(0)).to(dtype) * 0.02
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if parameter.ndim > 1:
                flat, drawn = parameter.view(-1), block.roll(1009 * number)
                for start in range(0, len(flat), len(drawn)):
                    flat[start : start + len(drawn)] = drawn[: len(flat) - start]
    return model.eval()


def answer(case: Case, config: ModelConfig, form: str, device: str) -> dict[str, Any]:
    """One answer, by `generate`."""
    where = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    dtype = getattr(torch, form)
    start = time.perf_counter()
    model = made(case, config, dtype).to(where)
    loaded = time.perf_counter() - start
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, config.decoder.vocab_size - 1, (1, case.prompt), generator=rng).to(where)
    inputs: dict[str, Any] = {"input_ids": tokens}
    if case.image:
        size = config.vision.image_size
        inputs["pixel_values"] = torch.randn(1, 3, size, size, generator=rng).to(where, dtype)
    if isinstance(model, transformers.PaliGemmaForConditionalGeneration):
        places = torch.full((1, config.image_tokens), config.decoder.vocab_size - 1, device=where)
        inputs["input_ids"] = torch.cat((places, tokens), dim=1)

    def run(done: Callable[[], None]) -> None:
        with torch.inference_mode():
            model.generate(
                **inputs, max_new_tokens=case.tokens, min_new_tokens=case.tokens, do_sample=False, use_cache=True,
                stopping_criteria=[Steps(done, where)],
            )  # fmt: skip

    found: dict[str, Any] = {"make_seconds": loaded, **timed(run, where)}
    if isinstance(model, TowerAndDecoder) and case.image:
        with torch.inference_mode():
            found["encode_seconds"] = median_ms(lambda: model.encode(inputs["pixel_values"]), where) / 1000
    elif case.image:
        with torch.inference_mode():
            found["encode_seconds"] = median_ms(lambda: model.get_image_features(inputs["pixel_values"]), where) / 1000
    return found


def ask(folder: Path, tokens: int, form: str) -> None:
    """What a script would do that answers once: a process of its own runs this, and is timed as a whole."""
    from PIL import Image

    processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil")
    model = transformers.PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, form))
    image = Image.open(folder.parent / "photo.jpg")
    inputs = processor(images=image, text="<image>what is it?", return_tensors="pt")
    inputs.pop("labels", None)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    print(processor.decode(out[0][inputs["input_ids"].shape[1] :]))
