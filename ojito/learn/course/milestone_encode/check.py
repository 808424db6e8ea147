"""How the first milestone is checked."""

import random

import numpy as np
import torch

from ojito.config import ImageConfig, ViTConfig
from ojito.data.scenes import caption, draw_things, paint
from ojito.learn import Case, Exercise, Milestone, Mistake, Question
from ojito.model.vit import ViT
from ojito.processor.pixels import normalize

QUESTION = Question(
    "An image of 48 x 48 pixels is cut into 36 patches, and one pixel in the top left corner changes. After a single block, "
    "how many of the 36 vectors have changed?",
    {
        "a": "1: the patch that has the pixel",
        "b": "4: the patch and its neighbours, and with each block the circle grows",
        "c": "36",
    },
    "c",
    "Every patch looks at every other in the very first block, and the softmax gives none of them a weight of exactly 0. A "
    "convolution of 3 x 3 would need many layers to carry news from corner to corner; attention needs one.",
)

_BLOCK = {
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "q": "attention.q",
    "k": "attention.k",
    "v": "attention.v",
    "out": "attention.out",
    "up": "mlp.up",
    "down": "mlp.down",
}
"""A block's plain names, and the library's."""


def theirs(name):
    """The library's name of a weight."""
    kind = "bias" if name.endswith("_bias") else "weight"
    *path, last = name.removesuffix("_bias").split(".")
    if path:
        return f"blocks.{path[1]}.{_BLOCK[last]}.{kind}"
    return {"patch": f"stem.{kind}", "positions": "positions.weight", "norm": f"norm.{kind}"}[last]


def library_vit(weights, layers, heads, size, eps, side):
    """The library's SigLIP with these weights."""
    (D, _), F = weights["patch"].shape, len(weights["layers.0.up"])
    config = ViTConfig(
        image_size=side,
        patch_size=size,
        width=D,
        layers=layers,
        heads=heads,
        mlp_dim=F,
        activation="gelu_tanh",
        norm_eps=eps,
    )
    vit = ViT(config).requires_grad_(False).eval()
    state = {theirs(name): one for name, one in weights.items()}
    state["stem.weight"] = state["stem.weight"].view(D, 3, size, size)
    vit.load_state_dict(state)
    return vit


def draw_weights(layers, D, F, size, P, made):
    """Random weights under their plain names."""

    def matrix(out, into):
        return torch.randn(out, into, generator=made) / into**0.5

    def some(count, middle=0.0):
        return torch.randn(count, generator=made) * 0.3 + middle

    numbers = 3 * size * size
    weights = {"patch": matrix(D, numbers), "patch_bias": some(D), "positions": some(P * D).view(P, D)}
    for layer in range(layers):
        shapes = {"q": (D, D), "k": (D, D), "v": (D, D), "out": (D, D), "up": (F, D), "down": (D, F)}
        for name, shape in shapes.items():
            weights[f"layers.{layer}.{name}"] = matrix(*shape)
            weights[f"layers.{layer}.{name}_bias"] = some(shape[0])
        for name in ("norm1", "norm2"):
            weights |= {f"layers.{layer}.{name}": some(D, 1.0), f"layers.{layer}.{name}_bias": some(D)}
    return weights | {"norm": some(D, 1.0), "norm_bias": some(D)}


def encode_cases():
    made = torch.Generator().manual_seed(0)
    for name, N, side, size, layers, D, heads in (
        ("two images, three blocks", 2, 6, 2, 3, 12, 3),
        ("one image, eleven blocks", 1, 9, 3, 11, 8, 2),
    ):
        images = torch.randn(N, 3, side, side, generator=made)
        weights = draw_weights(layers, D, 2 * D + 2, size, (side // size) ** 2, made)
        inputs = {"images": images, "weights": weights, "layers": layers, "heads": heads, "size": size, "eps": 1e-6}
        yield Case(name, inputs, {"layers": layers, "last": layers - 1, "heads": heads, "patches": (side // size) ** 2})


def reference_encode(images, weights, layers, heads, size, eps, parts):
    return library_vit(weights, layers, heads, size, eps, images.shape[-1])(images)


def show(parts, say):
    """A drawn scene, seen by the learner's encoder and by the library's."""
    layers, D, heads, size, eps = 4, 192, 6, 8, 1e-6
    draw = random.Random(0)
    things = draw_things(draw, 3)
    image = torch.from_numpy(np.array(paint(things, draw)))  # (48, 48, 3) uint8
    side = image.shape[0]
    half = torch.full((3,), 0.5)
    pixels = parts["02_patches"].to_pixels(image, half, half)[None]
    weights = draw_weights(layers, D, 4 * D, size, (side // size) ** 2, torch.Generator().manual_seed(0))

    def encode(pixels, layers=layers):
        return parts["own"].encode(pixels, weights, layers, heads, size, eps, parts)

    with torch.no_grad():
        visual = encode(pixels)
        own_pixels = normalize(image.permute(2, 0, 1), ImageConfig())[None]
        expected = library_vit(weights, layers, heads, size, eps, side)(own_pixels)
        other = pixels.clone()
        other[0, :, 0, 0] = -pixels[0, :, 0, 0]

        def changed(layers):
            return int(((encode(other, layers) - encode(pixels, layers)).abs().amax(-1) > 0).sum())

        counts = [changed(one) for one in (0, 1)]
    count = sum(one.numel() for one in weights.values())
    say(f"\na drawn scene: {caption(things)}")
    say(f"image {tuple(image.shape)} -> pixels {tuple(pixels.shape)} -> visual {tuple(visual.shape)}")
    say(f"your encoder, {layers} blocks and {count:,} random numbers, beside the library's on the same image:")
    say(f"largest difference {(visual - expected).abs().max():.1e}, of numbers up to {expected.abs().max():.1f}")
    say(f"one pixel in the corner changed: {counts[0]} of {visual.shape[1]} vectors differ before the blocks,")
    say(f"{counts[1]} of {visual.shape[1]} after one")


MILESTONE = Milestone(("02_patches", "03_attention", "04_vit_block"), show)

_LOOP = "for layer in range(layers):"

EXERCISES = [
    Exercise(
        "encode",
        lambda: list(encode_cases()),
        [
            Mistake(
                "no last norm",
                "the last norm is missing: the stream leaves the tower as large as {layers} blocks have made it",
                {'block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': "hidden"},
            ),
            Mistake(
                "a norm after every block",
                "you apply the last norm after each of the {layers} blocks; it stands behind the last one only, and the "
                "stream between blocks is left as it is",
                {
                    "hidden = block.encoder_block(hidden, own, attend, eps)": (
                        'hidden = block.layer_norm(block.encoder_block(hidden, own, attend, eps), weights["norm"], '
                        'weights["norm_bias"], eps)'
                    ),
                    'return block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': "return hidden",
                },
            ),
            Mistake(
                "the first block's weights in all",
                "all {layers} blocks work with the weights of the first one: the prefix must name the block",
                {'f"layers.{layer}."': '"layers.0."'},
            ),
            Mistake(
                "a block's weights not found",
                'a block looks for "norm1" among its own weights, and it is not there. Either the prefix is still on the '
                'names, or its dot is (".norm1"); or you count blocks from 1, and the last is layers.{last}; or it gets '
                "all weights and not its own",
                {'f"layers.{layer}."': 'f"layers.{layer}"'},
            ),
            Mistake(
                "cut by the dots alone",
                'you take the last part of every name that begins with "layers.1", which "layers.10" does as well: block '
                "1 works with weights of block 10. The prefix ends in a dot",
                {
                    "name.removeprefix(prefix): one": 'name.split(".")[-1]: one',
                    'f"layers.{layer}."': 'f"layers.{layer}"',
                },
            ),
            Mistake(
                "what a block returns is dropped",
                "the blocks run, and what they return is dropped: a block does not change its input, so assign its result to "
                "hidden",
                {"hidden = block.encoder_block(": "block.encoder_block("},
            ),
            Mistake(
                "a mask of numbers",
                "your mask is of numbers, and attention wants True and False: end it with `.bool()`",
                {"torch.ones(P, P).bool()": "torch.ones(P, P)"},
            ),
            Mistake(
                "one block too few",
                "the last block, layers.{last}, does not run",
                {_LOOP: "for layer in range(layers - 1):"},
            ),
            Mistake(
                "last block first",
                "the blocks run in reverse: layers.0 stands next to the stem",
                {_LOOP: "for layer in reversed(range(layers)):"},
            ),
            Mistake(
                "a causal mask",
                "your mask is causal: a patch sees those before it in reading order only, and the top left one nothing but "
                "itself. An image is there at once, and all {patches} patches see all",
                {"torch.ones(P, P).bool()": "torch.ones(P, P).tril().bool()"},
            ),
            Mistake(
                "a mask of False",
                "your mask is False everywhere: no patch may look at any, and the softmax of nothing but -inf is NaN. True "
                "means: may attend",
                {"torch.ones(P, P).bool()": "torch.zeros(P, P).bool()"},
            ),
            Mistake(
                "each patch alone",
                "your mask lets each patch look at itself only: the attention mixes nothing",
                {"torch.ones(P, P).bool()": "torch.eye(P).bool()"},
            ),
            Mistake(
                "one head",
                "your attention has one head of the whole width; there are to be {heads}. The shapes agree either way",
                {"(normed, own, heads, everywhere)": "(normed, own, 1, everywhere)"},
            ),
            Mistake(
                "attention reads the stream",
                "your `attend` ignores what it is given and reads the stream: the block has normed a copy for it",
                {"attention.self_attention(normed,": "attention.self_attention(hidden,"},
            ),
            Mistake(
                "added twice",
                "you add the stream to what a block returns; the block has done so already",
                {
                    "hidden = block.encoder_block(hidden, own, attend, eps)": (
                        "hidden = hidden + block.encoder_block(hidden, own, attend, eps)"
                    )
                },
            ),
            Mistake(
                "the norm of the last block",
                "your last norm uses the weights of a norm inside the last block; the tower has its own, weights["
                '"norm"] and weights["norm_bias"]',
                {
                    'block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': (
                        'block.layer_norm(hidden, own["norm2"], own["norm2_bias"], eps)'
                    )
                },
            ),
        ],
        [
            "From top to bottom: embed_patches, then the loop over blocks, then layer_norm. Each is one call of yours.",
            "The mask is (P, P), True everywhere. A block's own weights: those that start with the prefix, without it.",
            "`{name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}`.",
        ],
        reference=reference_encode,
    ),
]
