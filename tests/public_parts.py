"""Folders of public parts, as somebody else has them: towers and decoders with random weights."""

import json
import string

import torch
from safetensors.torch import save_file

from ojito.checkpoint.folder import describe_part
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import DecoderConfig, TokenizerConfig, ViTConfig
from ojito.model.decoder import Decoder
from ojito.model.vit import ViT
from ojito.processor import Tokenizer

TOWER = ViTConfig(image_size=16, patch_size=4, width=24, layers=2, heads=3, mlp_dim=40, activation="gelu_tanh")
SMOLLM = DecoderConfig(vocab_size=280, width=24, layers=2, heads=4, kv_heads=2, mlp_dim=40, max_positions=64)
GPT2 = DecoderConfig(
    vocab_size=280, width=24, layers=2, heads=4, mlp_dim=40, max_positions=64, mlp="plain", activation="gelu_tanh",
    norm="layer", norm_eps=1e-5, positions="learned", bias=True,
)  # fmt: skip
NAMES = {"bos": "<|im_start|>", "eos": ("<|im_end|>",), "pad": "<|im_end|>"}
ONE_NAME = {"bos": "<|endoftext|>", "eos": ("<|endoftext|>",), "pad": "<|endoftext|>"}


def draw(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module.state_dict()


def save_tower(folder, config=TOWER, model_type="siglip_vision_model", seed=1):
    """As somebody else has it: their names of fields and tensors."""
    folder.mkdir()
    described = {"model_type": model_type, **TOWERS[model_type].write(config)}
    (folder / "config.json").write_text(json.dumps(described))
    state = {f"vision.{name}": tensor for name, tensor in draw(ViT(config), seed).items()}
    save_file(describe_part(folder, "vision").keys.to_theirs(state), folder / "model.safetensors")
    return folder


def save_decoder(folder, config=SMOLLM, model_type="llama", names=NAMES, seed=2):
    """With a tokenizer of single bytes."""
    folder.mkdir()
    described = {"model_type": model_type, **DECODERS[model_type].write(config)}
    (folder / "config.json").write_text(json.dumps(described))
    Tokenizer.train(TokenizerConfig(**names), [string.printable], 260).save(folder / "tokenizer.json")
    said = {f"{name}_token": token if isinstance(token, str) else token[0] for name, token in names.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    state = {f"decoder.{name}": tensor for name, tensor in draw(Decoder(config), seed).items()}
    keys = describe_part(folder, "decoder").keys
    save_file({name: t.contiguous() for name, t in keys.to_theirs(state).items()}, folder / "model.safetensors")
    return folder


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
