"""The good folders that every case changes: tiny models in our own form and in those of the public families.

Between them they have every kind of file and most of the fields that Ojito reads.
"""

import dataclasses
import json

import tokenizers
import torch
from tokenizers import models

from ojito.checkpoint.folder import describe
from ojito.checkpoint.tensors.writing import write_weights
from ojito.config import Config
from ojito.loading import load
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.settings import read

DECODER = {"vocab_size": 300, "width": 8, "layers": 1, "heads": 2, "mlp_dim": 8, "max_positions": 64}
OWN = {
    "own": {
        "model": {
            "vision": {"image_size": 16, "patch_size": 4, "width": 8, "layers": 1, "heads": 2, "mlp_dim": 8,
                       "stem": "conv", "stem_widths": [4, 4], "positions": "resized", "position_grid": 2},
            "connector": {"reduce": "pixel_shuffle", "factor": 2},
            "decoder": DECODER,
        },
        "processor": {"prompt": {"image": "inline"}, "tokenizer": {"added": ["<loc{00..03}>"], "special": ["<x>"]}},
    },
    "resnet": {
        "model": {
            "vision": {"kind": "resnet", "image_size": 16, "stem_width": 4, "blocks": [1, 1], "width": 8},
            "connector": {"reduce": "perceiver", "queries": 3, "layers": 1, "heads": 2, "norm": "layer"},
            "decoder": DECODER,
        },
        "processor": {"image": {"fit": "tiles", "longest_side": 32}},
    },
}  # fmt: skip

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
SIGLIP = {
    **SIZES, "model_type": "siglip_vision_model", "image_size": 16, "patch_size": 8, "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh", "num_channels": 3,
}  # fmt: skip
TEXT = {
    **SIZES, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 1200, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 64, "attention_bias": False,
}  # fmt: skip
LLAMA = {
    **TEXT, "model_type": "llama", "hidden_act": "silu", "mlp_bias": False,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 32},
}  # fmt: skip
GEMMA2 = {
    **TEXT, "model_type": "gemma2", "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 4,
    "layer_types": ["sliding_attention"], "query_pre_attn_scalar": 4, "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}  # fmt: skip
GEMMA3 = {
    **GEMMA2, "model_type": "gemma3_text", "rope_local_base_freq": 10000.0, "attn_logit_softcapping": None,
    "final_logit_softcapping": None, "use_bidirectional_attention": False,
}  # fmt: skip
NORMALISED = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SQUASHED = {**NORMALISED, "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 3}
CROPPED = {**SQUASHED, "size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
TILED = {**NORMALISED, "size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}, "do_image_splitting": True}

PUBLIC = {
    "paligemma": (
        {"model_type": "paligemma", "vision_config": SIGLIP, "text_config": GEMMA2, "tie_word_embeddings": True},
        SQUASHED,
    ),
    "llava": (
        {"model_type": "llava", "text_config": LLAMA, "vision_feature_layer": -2,
         "vision_config": {**SIGLIP, "model_type": "clip_vision_model", "num_hidden_layers": 2},
         "vision_feature_select_strategy": "default", "projector_hidden_act": "gelu",
         "multimodal_projector_bias": True, "tie_word_embeddings": False},
        CROPPED,
    ),
    "gemma3": (
        {"model_type": "gemma3", "vision_config": SIGLIP, "text_config": GEMMA3, "mm_tokens_per_image": 1,
         "tie_word_embeddings": True},
        SQUASHED,
    ),
    "smolvlm": (
        {"model_type": "smolvlm", "vision_config": {**SIGLIP, "model_type": "smolvlm_vision"}, "text_config": LLAMA,
         "scale_factor": 2, "tie_word_embeddings": False},
        TILED,
    ),
}  # fmt: skip

KINDS = (*OWN, *PUBLIC, "llava-shards")
"""Of good folders. The last is `llava` with its weights in several files."""
BOTH = ("own", "llava")
"""Those that most cases change: one in our form, one in that of Hugging Face."""


def make_own(folder, kind):
    config = read(Config, OWN[kind])
    tokenizer = Tokenizer.train(config.processor.tokenizer, ["red"], 270)
    sizes = (config.model.vision.image_size, config.model.image_tokens, config.model.decoder.max_positions)
    torch.manual_seed(0)
    Pipeline(VLM(config.model), Processor(config.processor, tokenizer, *sizes), config).save(folder)


def make_public(folder, kind, max_shard=None):
    folder.mkdir()
    config, image = PUBLIC[kind]
    write(folder / "config.json", config)
    write(folder / "preprocessor_config.json", image)
    write(folder / "tokenizer_config.json", {"bos_token": "<bos>", "eos_token": {"content": "<eos>"}})
    write(folder / "generation_config.json", {"eos_token_id": [3]})
    vocabulary = tokenizers.Tokenizer(models.WordLevel({"red": 0, "?": 1}, unk_token="?"))
    vocabulary.add_special_tokens(["<bos>", "<eos>"])
    vocabulary.save(str(folder / "tokenizer.json"))
    described = describe(folder)
    torch.manual_seed(0)
    write_weights(folder, described.keys.to_theirs(VLM(described.model).state_dict()), max_shard)


def make(folder, kind):
    """A good folder."""
    if kind in OWN:
        return make_own(folder, kind)
    name, _, sharded = kind.partition("-")
    return make_public(folder, name, 20_000 if sharded else None)


def write(path, values):
    """Text, or what is written as JSON."""
    path.write_text(values if isinstance(values, str) else json.dumps(values))


@dataclasses.dataclass
class Good:
    """A good folder: its files, and the weights that it loads."""

    files: dict
    state: dict

    @classmethod
    def of(cls, folder):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        return cls(files, load(folder, "cpu", "float32").model.state_dict())

    def copy(self, folder):
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder
