"""Folders of nanoVLM as they were released, with what nanoVLM's own code made of them.

Each file in golden/ says which commit made it, with random weights of a size at which a mistake shows in the logits.
"""

import json
import string
from pathlib import Path

import numpy as np
import tokenizers
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers

from ojito.records import Batch

GOLDEN = {name: json.loads((Path(__file__).parent / f"golden/nanovlm_{name}.json").read_text("utf-8"))
          for name in ("222m", "460m")}  # fmt: skip

FREQUENCIES = "decoder.rotary_embd.inv_freq"

NAMES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CHARACTERS = string.ascii_letters + string.digits + " \n:?<>|_" + "!#$%&()*+,-./;=@[]^{}~"


def frequencies(config):
    head = config["lm_hidden_dim"] // config["lm_n_heads"]
    return 1 / config["lm_re_base"] ** (torch.arange(0, head, 2).float() / head)


def weights(name):
    rng, config = np.random.default_rng(0), GOLDEN[name]["config"]
    return {
        key: frequencies(config)
        if key == FREQUENCIES
        else torch.from_numpy(rng.standard_normal(shape).astype(np.float32) * np.float32(0.5))
        for key, shape in GOLDEN[name]["keys"].items()
    }


def vocabulary(entries):
    """A tokenizer of so many entries: the three tokens of SmolLM2 and characters."""
    listed = [*NAMES, *CHARACTERS]
    listed = listed[:entries] + [f"entry {i}" for i in range(len(listed), entries)]
    made = tokenizers.Tokenizer(models.WordLevel({n: i for i, n in enumerate(listed)}, unk_token=NAMES[0]))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
    made.add_special_tokens(NAMES)
    return made


def released(folder, name, changes=None, state=None):
    """A folder as nanoVLM writes it, and the vocabulary that it names beside it."""
    folder.mkdir(exist_ok=True)
    config = {**GOLDEN[name]["config"], **(changes or {})}
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config, indent=4), "utf-8")
    save_file(weights(name) if state is None else state, folder / "model.safetensors", GOLDEN[name]["metadata"])
    vocabulary(config.get("lm_base_vocab_size", config["lm_vocab_size"])).save(str(folder / "tokenizer.json"))
    return folder


B = {"vlm_extra_tokens": {"image_token": "<|image|>"}, "lm_base_vocab_size": 96, "extra_token_amount": 1,
     "max_img_size": None, "resize_to_max_side_len": None, "lm_chat_template": None, "lm_eos_token_id": 0}  # fmt: skip

"""What the 450M's config.json has, over that of the 460M."""


def follow(batch, chosen):
    """The batch and one more token a row."""
    new = torch.tensor(chosen)[:, None]
    return Batch(
        torch.cat([batch.tokens, new], 1),
        torch.cat([batch.positions, batch.positions[:, -1:] + 1], 1),
        torch.cat([batch.segments, batch.segments[:, -1:]], 1),
        torch.cat([batch.prefix, batch.prefix[:, -1:]], 1),
        torch.cat([batch.targets, batch.targets[:, -1:]], 1),
        batch.images,
    )


def image(case):
    values = np.random.default_rng(case["seed"]).integers(0, 256, (case["height"], case["width"], 3), dtype=np.uint8)
    return Image.fromarray(values)
