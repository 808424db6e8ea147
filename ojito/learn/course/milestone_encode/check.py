"""How the first milestone is checked."""

import random

import numpy as np
import torch

from ojito.config import ImageConfig, ViTConfig
from ojito.data.scenes import COLOURS, KINDS, Thing, caption, draw_things, paint, paint_boxed
from ojito.learn import Case, Exercise, Milestone, Question
from ojito.model.vit import ViT
from ojito.processor.pixels import normalize
from ojito.threads import keeping_threads

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
    for name, N, side, size, layers, D, heads, eps in (
        ("two images, three blocks", 2, 6, 2, 3, 12, 3, 1e-6),
        ("one image, eleven blocks", 1, 9, 3, 11, 8, 2, 1e-6),
        ("two blocks, and an eps so large that it counts", 2, 6, 3, 2, 8, 2, 0.5),
    ):
        images = torch.randn(N, 3, side, side, generator=made)
        weights = draw_weights(layers, D, 2 * D + 2, size, (side // size) ** 2, made)
        inputs = {"images": images, "weights": weights, "layers": layers, "heads": heads, "size": size, "eps": eps}
        facts = {"layers": layers, "last": layers - 1, "heads": heads, "patches": (side // size) ** 2, "eps": eps}
        yield Case(name, inputs, facts)


def reference_encode(images, weights, layers, heads, size, eps, parts):
    return library_vit(weights, layers, heads, size, eps, images.shape[-1])(images)


def plain_weights(vit, layers):
    """The weights of a library's tower under their plain names."""
    state = {name: one.detach() for name, one in vit.state_dict().items()}
    names = draw_weights(layers, 1, 1, 1, 1, torch.Generator())
    return {name: state[theirs(name)].flatten(1) if name == "patch" else state[theirs(name)] for name in names}


def draw_scenes(count, draw):
    """Scenes as pixels (count, 3, 48, 48), and the number of the kind and of the colour in each patch; 0 is the ground."""
    pixels, kinds, colours = [], torch.zeros(count, 6, 6).long(), torch.zeros(count, 6, 6).long()
    for i in range(count):
        things = draw_things(draw, draw.randint(1, 4))
        image, boxes = paint_boxed(things, draw)
        pixels.append(normalize(torch.from_numpy(np.array(image)).permute(2, 0, 1), ImageConfig()))
        for thing, box in zip(things, boxes, strict=True):
            rows, columns = (
                slice(round(a / 8), round(b / 8)) for a, b in ((box.top, box.bottom), (box.left, box.right))
            )
            kinds[i, rows, columns] = 1 + KINDS.index(thing.kind)
            colours[i, rows, columns] = 1 + tuple(COLOURS).index(thing.colour)
    return torch.stack(pixels), kinds.flatten(1), colours.flatten(1)


def train(vit, steps):
    """Teach a tower to say of each patch, through one matrix, of which kind and colour the thing there is."""
    pixels, kinds, colours = draw_scenes(400, random.Random("scenes to learn from"))
    head = torch.nn.Linear(vit.config.width, 1 + len(KINDS) + 1 + len(COLOURS))
    parameters = [*vit.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    entropy = torch.nn.functional.cross_entropy
    for _ in range(steps):
        rows = torch.randint(len(pixels), (16,))
        kind, colour = head(vit(pixels[rows])).flatten(0, 1).split((1 + len(KINDS), 1 + len(COLOURS)), dim=-1)
        loss = entropy(kind, kinds[rows].flatten()) + entropy(colour, colours[rows].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


SCENE = (Thing("ball", "red", "big", 0), Thing("box", "red", "big", 5), Thing("ball", "blue", "big", 6))
STEPS = 150


@keeping_threads()
def show(parts, say):
    """A drawn scene, seen by the learner's encoder and by the library's, before and after a short training."""
    layers, D, heads, size, eps, side = 2, 64, 4, 8, 1e-6, 48
    draw = random.Random(1)
    image = torch.from_numpy(np.array(paint(list(SCENE), draw)))  # (48, 48, 3) uint8
    half = torch.full((3,), 0.5)
    pixels = parts["02_patches"].to_pixels(image, half, half)[None]
    torch.set_num_threads(1)  # for matrices as small as these, threads wait for each other

    def encode(pixels, weights, layers=layers):
        return parts["own"].encode(pixels, weights, layers, heads, size, eps, parts)

    def likeness(weights):
        """Cosines of every patch to the one in the corner, (6, 6)."""
        unit = torch.nn.functional.normalize(encode(pixels, weights)[0], dim=-1)
        return (unit @ unit[0]).view(6, 6)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ViTConfig(
            image_size=side, patch_size=size, width=D, layers=layers, heads=heads, mlp_dim=4 * D,
            activation="gelu_tanh", norm_eps=eps,
        )  # fmt: skip
        vit = ViT(config)
        random_weights = {name: one.clone() for name, one in plain_weights(vit, layers).items()}
        say(f"\nthe library teaches a tower of {layers} blocks, for {STEPS} steps, what is drawn in each patch ...")
        train(vit, STEPS)
    weights = plain_weights(vit.eval(), layers)
    with torch.no_grad():
        visual, expected = encode(pixels, weights), vit(normalize(image.permute(2, 0, 1), ImageConfig())[None])
        before, after = likeness(random_weights), likeness(weights)
        other = pixels.clone()
        other[0, :, 0, 0] = 1 - pixels[0, :, 0, 0]
        counts = [int((encode(other, weights, n) != encode(pixels, weights, n)).any(-1).sum()) for n in (0, 1)]
    count = sum(one.numel() for one in weights.values())
    say(f"a new scene: {caption(list(SCENE))}")
    say(f"image {tuple(image.shape)} -> pixels {tuple(pixels.shape)} -> visual {tuple(visual.shape)}")
    say(f"your encoder, with the {count:,} numbers of the trained tower, beside the library's on the same image:")
    say(f"largest difference {(visual - expected).abs().max():.1e}, of numbers up to {expected.abs().max():.1f}")
    say("\nhow like its 36 vectors are to that of the top left patch: cosines, in hundredths")
    say(f"{'  with random weights':<28}  with the trained ones")
    for one, two in zip(before, after, strict=True):
        say("     ".join("".join(f"{100 * cosine:4.0f}" for cosine in row) for row in (one, two)))
    ball, box, blue, ground = (two.mean() for two in (after[:2, :2], after[2:4, 4:], after[4:, :2], after[4:, 2:]))
    say(
        f"the trained ones: the red ball itself {ball:.2f}, the red box on the right {box:.2f}, the blue ball {blue:.2f},"
    )
    say(f"the ground beside it {ground:.2f}. They say what is drawn in a patch, and its colour louder than its shape")
    say(f"\none pixel in the corner changed: {counts[0]} of {visual.shape[1]} vectors differ before the blocks,")
    say(f"{counts[1]} of {visual.shape[1]} after one")


MILESTONE = Milestone(("02_patches", "03_attention", "04_vit_block"), show)


EXERCISES = [
    Exercise(
        "encode",
        lambda: list(encode_cases()),
        hints=[
            "From top to bottom: embed_patches, then encoder_block once for each block, then layer_norm. Each gap that is not "
            "about masks or names is a call of one of your own functions.",
            "The mask is (P, P), True everywhere. A block's own weights: those that start with the prefix, without it.",
            "`{name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}`.",
        ],
        reference=reference_encode,
    ),
]
