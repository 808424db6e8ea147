"""What the library's cache holds after each pass, and what one more token would cost without it. Run it: python diagram.py"""

import torch

from ojito.config import DecoderConfig
from ojito.model.cache import KVCache
from ojito.model.decoder import Decoder
from ojito.model.masks import AttentionMetadata

PROMPT, ANSWER = 9, 5
config = DecoderConfig(vocab_size=32, width=16, layers=2, heads=4, kv_heads=1, mlp_dim=32, max_positions=32)
torch.manual_seed(0)
decoder = Decoder(config).eval()
cache = KVCache(config, rows=1, length=PROMPT + ANSWER)
passes = [torch.arange(PROMPT)[None], *torch.arange(PROMPT, PROMPT + ANSWER).view(-1, 1, 1)]
print("pass      reads  positions   keys of a layer    in the cache          with no cache")
for number, ids in enumerate(passes):
    numbers = AttentionMetadata(ids, torch.zeros_like(ids), torch.full_like(ids, -1))
    with torch.no_grad():
        decoder(decoder.embed(ids), numbers, cache)
    first, held = int(ids[0, 0]), cache.length
    places = f"{first}" if ids.shape[1] == 1 else f"{first} to {held - 1}"
    keys = tuple(cache.keys[0, :, :, :held].shape)
    name = "decode" if number else "prefill"
    print(f"{name:<8} {ids.shape[1]:>6}  {places:<10}  {keys!s:<17}  {'#' * held:<20}  reads {held}")
