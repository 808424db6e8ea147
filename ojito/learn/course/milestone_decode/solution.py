"""The milestone of lessons 8 and 9, solved. In the library: ojito/model/decoder.py."""

from types import ModuleType

import torch
from torch import Tensor

PREDICTION = "b"


def decode(
    embeddings: Tensor,
    weights: dict[str, Tensor],
    layers: int,
    heads: int,
    kv_heads: int,
    head_size: int,
    theta: float,
    eps: float,
    mask: Tensor,
    parts: dict[str, ModuleType],
) -> Tensor:
    """Logits of a Gemma decoder.

    Args:
        embeddings: Of text and visual tokens (B, T, D), scaled already.
        weights: "embedding" (V, D), which is the head, too; "norm" (D,), the last norm; and of each layer
            "layers.0.q" (H K, D), "layers.0.k" and "layers.0.v" (G K, D), "layers.0.out" (D, H K), without biases, and
            "layers.0.norm1", "layers.0.norm2", "layers.0.gate", "layers.0.up", "layers.0.down", as in lesson 9.
        layers: Number of layers.
        heads: H, query heads.
        kv_heads: G, heads of keys and values.
        head_size: K.
        theta: Of the rotary positions, which are 0 to T - 1.
        eps: Of the norms.
        mask: (T, T) or (B, 1, T, T), True where a position may attend to another.
        parts: Your lessons "08_rope" and "09_gemma_block".

    Returns:
        (B, T, V).
    """
    rope, gemma = parts["08_rope"], parts["09_gemma_block"]
    linear = torch.nn.functional.linear
    hidden = embeddings
    cos, sin = rope.angles(torch.arange(hidden.shape[1]), head_size, theta)  # (T, K) each
    for layer in range(layers):
        start = f"layers.{layer}."
        own = {name.removeprefix(start): weight for name, weight in weights.items() if name.startswith(start)}

        def attention(x: Tensor, own: dict[str, Tensor] = own) -> Tensor:
            q = linear(x, own["q"]).unflatten(-1, (heads, head_size)).transpose(1, 2)  # (B, H, T, K)
            k = linear(x, own["k"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)  # (B, G, T, K)
            v = linear(x, own["v"]).unflatten(-1, (kv_heads, head_size)).transpose(1, 2)  # (B, G, T, K)
            q, k = rope.rotate(q, cos, sin), rope.rotate(k, cos, sin)  # shapes as before: turned to their positions
            gathered = gemma.grouped_attention(q, k, v, mask)  # (B, H, T, K)
            return linear(gathered.transpose(1, 2).flatten(2), own["out"])  # (B, T, D): heads joined, and mixed

        hidden = gemma.decoder_block(hidden, own, attention, eps)  # (B, T, D): after this layer
    hidden = gemma.rms_norm(hidden, weights["norm"], eps)  # (B, T, D): of the same size everywhere
    return linear(hidden, weights["embedding"])  # (B, T, V)
