"""What the processor makes of images: pixel statistics, channels, which way up they are, and their proportions."""

from __future__ import annotations

import dataclasses
import io
import itertools

import torch
from PIL import Image
from torch import Tensor

from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import ImageConfig, PixelShuffleConfig, ViTConfig
from ojito.data.aspect import aspect_ratio_of, distortion
from ojito.doctor.finding import Finding, Shown, alarm, healthy, note
from ojito.doctor.patient import Patient, plain
from ojito.settings import Settings

_CLOSE = 0.02
_SIDE = 96
_CHANNELS = ("red", "green", "blue")
_EXIF, _TURNED_RIGHT = 0x0112, 6
_UNIT = "pixels in 0..1"
Numbers = tuple[float, ...]

KNOWN: dict[str, Settings] = {
    "SigLIP": TOWERS["siglip_vision_model"].image_settings,
    "CLIP": TOWERS["clip_vision_model"].image_settings,
    "ImageNet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    _UNIT: {"mean": (0.0,) * 3, "std": (1.0,) * 3},
    "pixels in 0..255": {"mean": (0.0,) * 3, "std": (1 / 255,) * 3},
}

TURNS: dict[str, Image.Transpose] = {
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "upside down": Image.Transpose.ROTATE_180,
    "flipped top to bottom": Image.Transpose.FLIP_TOP_BOTTOM,
    "turned left": Image.Transpose.ROTATE_90,
    "turned right": Image.Transpose.ROTATE_270,
    "transposed": Image.Transpose.TRANSPOSE,
    "transposed the other way": Image.Transpose.TRANSVERSE,
}


def statistics(patient: Patient) -> Finding:
    """Are pixels normalized as the vision tower was trained with?"""
    black, white = (_mean(patient.squares(plain(colour))) for colour in ("black", "white"))
    std = tuple(float(1 / (w - b)) if w != b else float("inf") for b, w in zip(black, white, strict=True))
    mean = tuple(float(-b * s) for b, s in zip(black, std, strict=True))
    wanted_by, wanted, sure = _expected(patient)
    evidence = {"mean": mean, "std": std, "expected_mean": wanted.mean, "expected_std": wanted.std}
    if _near(mean, wanted.mean) and _near(std, wanted.std):
        return healthy(f"mean {_shown(mean)}, std {_shown(std)}, as of {wanted_by}", **evidence)
    if _near(mean, wanted.mean[::-1]) and _near(std, wanted.std[::-1]) and len({*wanted.mean}) > 1:
        return healthy("statistics are those of exchanged channels; see channels", **evidence)
    looks = [name for name, one in KNOWN.items() if _near(mean, one["mean"]) and _near(std, one["std"])]
    if wanted_by == "SigLIP" and looks == [_UNIT] and isinstance(patient.model.config.connector, PixelShuffleConfig):
        return note(f"{_UNIT} for a SigLIP: nanoVLM was trained so, most models were not", "", **evidence)
    found = f", which are those of {looks[0]}" if looks else ""
    says = (
        f"pixels have mean {_shown(mean)} and std {_shown(std)}{found}; {wanted_by} expects {_shown(wanted.mean)}"
        + (f" and {_shown(wanted.std)}")
    )
    remedy = f"set processor.image.mean={_listed(wanted.mean)} and processor.image.std={_listed(wanted.std)}"
    return (alarm if sure else note)(says, remedy, **evidence)


def channels(patient: Patient) -> Finding:
    """Are red, green and blue in this order?"""
    base = _mean(patient.squares(plain("black")))
    order = []
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        rise = _mean(patient.squares(plain(colour))) - base
        order.append(int(rise.argmax()) if bool(rise.isfinite().all()) else -1)
    names = [_CHANNELS[i] for i in order]
    if order != [0, 1, 2]:
        return alarm(
            f"red, green and blue arrive as {', '.join(names)}",
            "open images as RGB: OpenCV's are BGR",
            red=names[0],
            green=names[1],
            blue=names[2],
        )
    return healthy("red, green, blue")


def upright(patient: Patient) -> Finding:
    """Does an image arrive as a viewer shows it: upright, not mirrored, turned as its EXIF says, and whole?"""
    image = four_corners()
    exif = Image.Exif()
    exif[_EXIF] = _TURNED_RIGHT
    content = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(content, "JPEG", quality=95, exif=exif)
    png, jpeg = _png(image), content.getvalue()
    shown = (
        Shown((image,), "a PNG", "as a viewer shows it"),
        Shown((_picture(patient.whole(png)),), "the PNG", "as the model gets it"),
        Shown((_picture(patient.whole(jpeg)),), "a JPEG whose EXIF turns it", "as the model gets it"),
    )
    return dataclasses.replace(_turned(patient, image, png, jpeg), shown=shown)


def proportions(patient: Patient) -> Finding:
    """Do the squares that the model reads show images as they are?"""
    aspect = aspect_ratio_of(patient.samples)
    image = patient.processor.config.image
    lost, remedy = distortion(aspect, image, patient.model.config.vision.image_size)
    if lost:
        return note(lost, f"in a new model, {remedy}", aspect=aspect, fit=image.fit)
    tiled = ", in tiles" if image.fit == "tiles" else ""
    return healthy(f"the aspect ratio of the images is {aspect:.1f} (median){tiled}", aspect=aspect, fit=image.fit)


def _turned(patient: Patient, image: Image.Image, png: bytes, jpeg: bytes) -> Finding:
    found = _which_way(patient, image, png)
    if found:
        return alarm(f"images arrive {found}", "take the turn out of the processor", png=found)
    found = _which_way(patient, image, jpeg)
    if found:
        return alarm(
            f"a photograph whose EXIF says how to turn it arrives {found}",
            "turn it first: PIL.ImageOps.exif_transpose",
            exif=found,
        )
    return healthy("a PNG and a JPEG with EXIF arrive upright")


def _picture(square: Tensor) -> Image.Image:
    """What a model gets (3, h, w) as an image, its lowest number black and its highest white."""
    values = square.detach().float().cpu().nan_to_num(0.0)
    low, high = values.min(), values.max()
    levels = ((values - low) / (high - low).clamp_min(1e-9) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def four_corners(side: int = _SIDE) -> Image.Image:
    """A square whose quarters have four levels of grey, and so look different whichever way it is turned."""
    half = side // 2
    image = Image.new("RGB", (side, side))
    for place, grey in zip(itertools.product((0, half), (0, half)), (20, 90, 160, 240), strict=True):
        image.paste((grey,) * 3, (*place, place[0] + half, place[1] + half))
    return image


def _which_way(patient: Patient, image: Image.Image, content: bytes) -> str:
    """Return how an image arrives otherwise than it should; empty where it arrives right."""
    arrived = patient.whole(content)
    scores = {"": _distance(arrived, image)}
    scores.update({name: _distance(arrived, image.transpose(turn)) for name, turn in TURNS.items()})
    best = min(scores, key=lambda name: scores[name])
    if not best and scores[""] > 0.5:
        return "cut off or covered"
    return best if scores[best] < 0.9 * scores[""] else ""


def _distance(arrived: Tensor, image: Image.Image) -> float:
    """Distance of the quarters of what arrived from those of an image, each of mean 0 and deviation 1."""
    size = arrived.shape[-2:]
    small = image.convert("L").resize((2, 2), Image.Resampling.BOX)
    wanted = torch.tensor([float(level) for level in small.tobytes()])
    height, width = size[0] // 2, size[1] // 2
    grey = arrived.float().mean(0)
    quarters = torch.stack([grey[y : y + height, x : x + width].mean() for y in (0, height) for x in (0, width)])
    a, b = ((t.flatten() - t.mean()) / t.std().clamp_min(1e-9) for t in (quarters, wanted))
    return float((a - b).pow(2).mean().sqrt())


def _expected(patient: Patient) -> tuple[str, ImageConfig, bool]:
    """Who says what the pixels should be, what, and whether that is sure."""
    if patient.pipe.config is not None:
        return "the recipe", patient.pipe.config.processor.image, True
    vision = patient.model.config.vision
    if isinstance(vision, ViTConfig):
        plain_stem = vision.stem == "patch" and not vision.class_token
        if vision.activation == "quick_gelu" and vision.pre_norm:
            return "CLIP", ImageConfig(mean=tuple(KNOWN["CLIP"]["mean"]), std=tuple(KNOWN["CLIP"]["std"])), True
        if vision.activation == "gelu_tanh" and plain_stem:
            return "SigLIP", ImageConfig(), True
    return "its own processor", patient.processor.config.image, True


def _mean(squares: Tensor) -> Tensor:
    return squares.float().mean((0, 2, 3))


def _near(a: Numbers, b: Numbers) -> bool:
    return all(abs(x - y) <= _CLOSE for x, y in zip(a, b, strict=True))


def _shown(numbers: Numbers) -> str:
    return "/".join(f"{number:.3g}" for number in dict.fromkeys(round(n, 3) for n in numbers))


def _listed(numbers: Numbers) -> str:
    """Without spaces, so that a shell takes it as one word."""
    return f"[{','.join(map(str, numbers))}]"


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
