"""How lesson 2 is checked."""

import torch

from ojito.config import ImageConfig, ViTConfig
from ojito.learn import Case, Exercise, Question
from ojito.model.vit import ViT, make_stem
from ojito.processor.pixels import normalize

QUESTION = Question(
    "You cut an image into patches, shuffle them, and glue them together again. A vision transformer without position "
    "embeddings, all else as usual, reads both images. For the shuffled one it gives",
    {
        "a": "other vectors altogether: the image no longer shows anything",
        "b": "the same vectors, shuffled in the same way",
        "c": "the same vectors for patches that kept a neighbour, and others elsewhere",
    },
    "b",
    "The stem looks at one patch at a time, attention at all of them alike, the MLP again at one: nowhere does it matter "
    "at which row a patch stands. The mean over all patches is the same for both images. The table of positions, 256 "
    "vectors in PaliGemma at 224 pixels, is all that tells a face from its pieces.",
)


def to_pixels_cases():
    made = torch.Generator().manual_seed(0)
    half = torch.full((3,), 0.5)
    image = torch.randint(256, (4, 6, 3), generator=made, dtype=torch.uint8)
    yield Case("SigLIP's mean and std, all 0.5", {"image": image, "mean": half, "std": half})
    image = torch.randint(256, (7, 5, 3), generator=made, dtype=torch.uint8)
    mean, std = torch.tensor([0.4815, 0.4578, 0.4082]), torch.tensor([0.2686, 0.2613, 0.2758])
    yield Case("CLIP's mean and std, each channel its own", {"image": image, "mean": mean, "std": std})


def reference_to_pixels(image, mean, std):
    config = ImageConfig(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    return normalize(image.permute(2, 0, 1), config)


def patchify_cases():
    for name, shape, size in (
        ("one image, numbered pixels", (1, 3, 4, 8), 2),
        ("three images of 6 x 8 pixels", (3, 3, 6, 8), 2),
        ("two images of 6 x 15 pixels", (2, 3, 6, 15), 3),
    ):
        N, c, h, w = shape
        facts = {"patches": h // size * (w // size), "numbers": c * size * size, "rows": h // size}
        facts |= {"columns": w // size, "size": size}
        images = torch.arange(float(N * c * h * w)).view(shape)
        yield Case(name, {"images": images, "size": size}, facts)


def reference_patchify(images, size):
    """The library's stem, with a matrix that passes every number on as it is."""
    numbers = 3 * size * size
    stem = make_stem(ViTConfig(image_size=size, patch_size=size, width=numbers, heads=1, stem_bias=False))
    stem.weight.data = torch.eye(numbers).view(stem.weight.shape)
    return stem(images).flatten(2).transpose(1, 2).detach()


def embed_cases():
    made = torch.Generator().manual_seed(1)
    for name, N, side, size, D in (("two images", 2, 6, 2, 8), ("three images, a wider patch", 3, 6, 3, 10)):
        P, numbers = (side // size) ** 2, 3 * size * size
        weights = {
            "patch": torch.randn(D, numbers, generator=made) / numbers**0.5,
            "patch_bias": torch.randn(D, generator=made),
            "positions": torch.randn(P, D, generator=made),
        }
        images = torch.randn(N, 3, side, side, generator=made)
        facts = {"patches": P, "width": D, "numbers": numbers, "root": D**0.5}
        yield Case(name, {"images": images, "weights": weights, "size": size}, facts)


def reference_embed(images, weights, size):
    (P, D), side = weights["positions"].shape, images.shape[-1]
    vit = ViT(ViTConfig(image_size=side, patch_size=size, width=D, heads=1, layers=0, final_norm=False))
    vit.load_state_dict(
        {
            "stem.weight": weights["patch"].view(D, 3, size, size),
            "stem.bias": weights["patch_bias"],
            "positions.weight": weights["positions"],
        }
    )
    return vit(images).detach()


EXERCISES = [
    Exercise(
        "to_pixels",
        lambda: list(to_pixels_cases()),
        hints=[
            "The formula is in the first line of the docstring. As long as channels are last, (h, w, 3) - (3,) just works.",
            "`image / 255` is float32 already. Then `(scaled - mean) / std`.",
            "To move an axis: `permute(2, 0, 1)` puts axis 2 first, then 0, then 1.",
        ],
        reference=reference_to_pixels,
    ),
    Exercise(
        "patchify",
        lambda: list(patchify_cases()),
        hints=[
            "Cut first, without moving anything: h is (h / size, size), w is (w / size, size). That gives six axes.",
            "Name them: N, channel, row of patches, row inside, column of patches, column inside. Which three say which "
            "patch it is, N among them?",
            "Row and column of patches right after N, then channel, row inside, column inside: "
            "`permute(0, 2, 4, 1, 3, 5)`. Then one `reshape` joins them.",
        ],
        reference=reference_patchify,
    ),
    Exercise(
        "embed_patches",
        lambda: list(embed_cases()),
        hints=[
            'weights["patch"] is (D, 3 * size * size), as F.linear takes it: linear(x, W, b).',
            "(N, P, D) + (P, D) adds the same P vectors to every image.",
        ],
        reference=reference_embed,
    ),
]
