"""Memory that hidden states take while a model answers, computed from its config alone.

It counts the tensors that a forward pass holds at its fullest moment: in the vision tower, while masks are built, in a
decoder layer that reads the prompt, or at the logits. Workspaces of kernels are not counted.
"""

from __future__ import annotations

import torch

from ojito.config import DecoderConfig, EfficientNetConfig, ModelConfig, NoVisionConfig, ResNetConfig, VisionConfig

_FLOAT32 = 4  # bytes
_MASK = 8 + 4 + 4  # bytes of a pair while masks are built: distance (int64), four conditions, float32
_STEM_MAPS, _EFFICIENTNET_MAPS, _RESNET_MAPS = 2, 3, 4
"""Of the largest size at once: input, convolution, norm, activation, and what is added to them."""
_RESNET_MAP = 16  # numbers of the largest map for each pixel of the image: 256 channels at a sixteenth of them
_EFFICIENTNET_MAP = 24  # 96 channels, after the first expansion, at a quarter


def activation_bytes(config: ModelConfig, dtype: torch.dtype, batch: int, prompt: int, images: int) -> int:
    """Return the bytes of hidden states at the fullest moment of an answer.

    Args:
        config: Of the model.
        dtype: Of the hidden states.
        batch: Rows.
        prompt: Tokens of a row before its answer, image tokens included.
        images: Of all rows together.
    """
    d, decoder = dtype.itemsize, config.decoder
    pixels = images * 3 * config.vision.image_size**2 * _FLOAT32
    visual = images * config.image_tokens * decoder.width * d
    layer = batch * prompt * _layer_numbers(decoder) * d
    if decoder.attention_softcap:  # the fused form of attention, which holds no scores, cannot bound them
        layer = max(layer, _score_bytes(decoder, batch, prompt, d))
    masks = _held_masks(decoder, batch, prompt, d)
    moments = {
        "tower": images * _tower_numbers(config.vision) * d,
        "masks": visual + masks + batch * prompt**2 * _MASK,
        "layer": visual + masks + layer,
        "logits": batch * decoder.vocab_size * (d + _FLOAT32 + 1),  # the dtype's own, float32, and which are finite
    }
    return pixels + max(moments.values())


def _tower_numbers(config: VisionConfig) -> int:
    """Numbers that the vision tower holds at once for an image."""
    if isinstance(config, NoVisionConfig):
        return 0
    pixels = config.image_size**2
    if isinstance(config, ResNetConfig):
        return _RESNET_MAPS * _RESNET_MAP * pixels
    if isinstance(config, EfficientNetConfig):
        return _EFFICIENTNET_MAPS * _EFFICIENTNET_MAP * pixels
    stem = [width * pixels // 4 ** (i + 1) for i, width in enumerate(config.stem_widths)]
    patches = config.grid**2 + config.class_token
    width, hidden = config.width, config.mlp_dim
    # A layer's input, its sum with attention, and a norm of that; then queries, keys, values, what is gathered with
    # them and its heads side by side; or the MLP around its activation.
    layer = patches * (3 * width + max(5 * width, 2 * hidden)) if config.layers else 2 * patches * width
    return max(layer, _STEM_MAPS * max(stem, default=0))


def _layer_numbers(config: DecoderConfig) -> int:
    """Numbers that a decoder layer holds at once for a token of the prompt."""
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    # Queries, keys and values; rotated, queries are there four times: as they were, times cosine, halves, times sine.
    turned = 3 * queries if config.positions == "rope" else 0
    # PyTorch's fused attention on a CPU repeats keys and values for the query heads that share them.
    repeated = 2 * queries if config.kv_heads != config.heads else 0
    attention = queries + 2 * keys + max(turned, repeated + 2 * queries)
    # Before and after the activation; a gate's product with them, or the square of ReLU's, is one more.
    mlp = (3 if config.mlp == "gated" or config.activation == "relu2" else 2) * config.mlp_dim
    # The embeddings, the layer's input, what attention adds, their sum, and a norm of that.
    return 5 * config.width + max(attention, mlp)


def _score_bytes(config: DecoderConfig, batch: int, prompt: int, d: int) -> int:
    """Bytes of attention scores: before and after a step, and the softmax in float32 with its copy."""
    return batch * config.heads * prompt**2 * max(3 * d, 2 * d + _FLOAT32)


def _held_masks(config: DecoderConfig, batch: int, prompt: int, d: int) -> int:
    """Bytes of the masks that all layers share: one for each window."""
    return batch * prompt**2 * d * len({config.window_of(layer) for layer in range(config.layers)})
