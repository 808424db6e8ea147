"""What a public model's folder holds besides its weights, made here: nothing is downloaded."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from ojito.config import TokenizerConfig
from ojito.processor import Tokenizer

IMAGE_ID, SIZE = 257152, 257216


def gemma_tokenizer() -> Tokenizer:
    """A tokenizer with PaliGemma's form and special ids, whose other words nobody ever said."""
    vocabulary = {token: i for i, token in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))}
    for token in (*(f"<0x{byte:02X}>" for byte in range(256)), "▁", "\n", *"abcdefghijklmnopqrstuvwxyz.,?!"):
        vocabulary[token] = len(vocabulary)
    while len(vocabulary) < 256000:
        vocabulary[f"▁word{len(vocabulary)}"] = len(vocabulary)
    for token in (*(f"<loc{i:04}>" for i in range(1024)), *(f"<seg{i:03}>" for i in range(128))):
        vocabulary[token] = len(vocabulary)
    vocabulary["<image>"] = IMAGE_ID
    made = tokenizers.Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<image>"])
    return Tokenizer(made, TokenizerConfig(added=("<loc{0000..1023}>", "<seg{000..127}>")))
