"""Whether the image reaches the answer: the connector's output, the order of images, and what seeing is worth."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ojito.doctor.finding import Finding, Shown, alarm, healthy, note
from ojito.doctor.patient import Patient, difference, interval, labelled, plain
from ojito.evaluate.controls import blank_images, exchanged_images
from ojito.processor import RowError
from ojito.records import IMAGE, Sample, Turn

_CONSTANT = 1e-4  # of the root mean square: what rounding makes of one image may be 1e-6
_FAINT, _LOUD = 1e-3, 1e4  # of the embeddings' norm; LLaVA's visual tokens are 60 times as large as its words
_FEWEST = 4  # rows
_BLIND = 2e-3  # nats by which another image changes the distribution of a token
_KEPT = 8  # targets of a row
_GRID = 4  # patches along a side, when they are shuffled


def connector(patient: Patient) -> Finding:
    """Do visual tokens differ from image to image, and are they of the size of word embeddings?"""
    model = patient.model
    images = torch.cat([patient.squares(_noise(seed))[-1:] for seed in range(4)]).to(model.device)
    patches = model.see(images).float()
    visual = model.connector(patches.to(model.dtype)).float()
    size, words = _rms(visual), _rms(_embeddings(patient))
    differs, before = (_rms(t - t.mean(0)) / max(_rms(t), 1e-30) for t in (visual, patches))
    ratio = size / max(words, 1e-30)
    evidence = {"varies": differs, "tower_varies": before, "norm": size, "word_norm": words, "ratio": ratio}
    if before < _CONSTANT:
        return alarm(
            "the vision tower gives the same patches for every image",
            "check its weights, and that pixels reach it",
            **evidence,
        )
    if differs < _CONSTANT:
        return alarm(
            "the connector gives the same visual tokens for every image",
            "check that its weights were loaded and learn (train.freeze, train.connector_lr)",
            **evidence,
        )
    if not _FAINT <= ratio <= _LOUD:
        return alarm(
            f"visual tokens are {ratio:.3g} times as large as word embeddings",
            "check scales: embeddings may be multiplied by sqrt(width), visual tokens never; a norm may be missing",
            **evidence,
        )
    return healthy(f"visual tokens vary by {differs:.2g} of their size, {ratio:.3g} times that of words", **evidence)


def order(patient: Patient) -> Finding:
    """Do the image tokens at the k-th place come from the k-th image?"""
    model = patient.model
    images = [_noise(seed) for seed in range(3)]
    turn = Turn(patient.words, ("yes",))
    try:
        samples = [Sample(images, turns=(turn,))]
        batch = patient.processor(samples)
        model.check(batch)
    except RowError:  # there is no room for so many: then they stand in rows of their own
        samples = [Sample([image], turns=(turn,)) for image in images]
        batch = patient.processor(samples)
    alone = [model.encode(patient.squares(image).to(model.device)).float().flatten(0, 1) for image in images]
    with _capture(model.decoder) as captured:
        model.features(batch)
    where = batch.tokens.to(model.device) == IMAGE
    arrived = torch.split(captured[0].float()[where], [len(one) for one in alone])
    found = [
        min(range(len(alone)), key=lambda j: _apart(here, alone[j]) if len(here) == len(alone[j]) else 1e30)
        for here in arrived
    ]
    apart = max(_apart(here, own) for here, own in zip(arrived, alone, strict=True))
    evidence = {"order": [number + 1 for number in found], "difference": apart}
    if found != [0, 1, 2]:
        shown = ", ".join(str(number + 1) for number in found)
        return alarm(
            f"images 1, 2, 3 arrive as {shown}",
            "fill placeholders in the order of Batch.images: all images of a row, row by row",
            **evidence,
        )
    if apart > (0.01 if patient.exact else 0.2):
        return alarm(
            "what stands at an image's placeholders is not what the connector made of it",
            "put visual tokens in place of the placeholders' embeddings, unscaled and in their order",
            **evidence,
        )
    return healthy("images 1, 2, 3 arrive in this order", **evidence)


def image(patient: Patient) -> Finding:
    """Do logits depend on the image, and is the right one worth something?"""
    samples = [sample for sample in patient.samples if sample.images]
    right = _Answers(patient, samples)
    shuffled = [dataclasses.replace(s, images=[_shuffle(patient, i) for i in s.images]) for s in samples]
    exchanged = [
        dataclasses.replace(s, images=images or [plain("gray")] * len(s.images))
        for s, images in zip(samples, exchanged_images(samples), strict=True)
    ]
    controls = {"blank": blank_images(samples, patient.pipe), "exchanged": exchanged, "shuffled": shuffled}
    seen = {name: _Answers(patient, rows) for name, rows in controls.items()}
    turn = samples[0].dialogue[0]
    asked = f"as it is: {turn.prompt or 'caption'} {turn.answers[0]}"
    firsts = ((asked, samples[0], right), *((name, controls[name][0], seen[name]) for name in controls))
    shown = tuple(Shown(tuple(one.images), about, f"loss {of.losses[0]:.3f}") for about, one, of in firsts)
    return dataclasses.replace(_judged(patient, samples, right, seen), shown=shown)


def _judged(patient: Patient, samples: Sequence[Sample], right: _Answers, seen: dict[str, _Answers]) -> Finding:
    """Judge what the model makes of the right images, and of others in their place, by their names."""
    effect = max(difference(right.logits, other.logits) for other in seen.values())
    gaps = {name: interval([b - a for a, b in zip(right.losses, o.losses, strict=True)]) for name, o in seen.items()}
    changed = float(
        F.kl_div(seen["exchanged"].logits.log_softmax(-1), right.logits.log_softmax(-1), log_target=True,
                 reduction="batchmean")
    )  # fmt: skip
    loss = interval(right.losses)[0]
    evidence = {
        "loss_right": loss,
        "gaps": {name: list(gap) for name, gap in gaps.items()},
        "effect": effect,
        "kl_exchanged": changed,
        "rows": len(samples),
    }
    if effect < (1e-6 if patient.exact else 1e-4):
        return alarm(
            "the image is ignored: logits are the same with a blank, an exchanged and a shuffled one",
            "check that visual tokens are merged, and that text may attend to them",
            **evidence,
        )
    mean, low, high = gaps["exchanged"]
    shown = f"an exchanged image costs {mean:+.3f} nats a token (95%: {low:+.3f} to {high:+.3f})"
    if not patient.own:
        return healthy("logits depend on the image; give DATA to see what it is worth", **evidence)
    if len(samples) < _FEWEST:
        return note(f"{len(samples)} rows are too few to say what the image is worth", "give more DATA", **evidence)
    if low > 0:
        return healthy(f"it looks: {shown}", **evidence)
    if patient.learned(loss) and patient.joined and changed < _BLIND:  # what was only just built cannot look yet
        return alarm(
            f"the image is ignored: the model has learned to answer (loss {loss:.3f}) without it; {shown}",
            "check that images and texts belong together (`ojito data`), and that vision and connector learn",
            **evidence,
        )
    return note(
        f"it has not learned to look: {shown}, which may be chance",
        "train longer; if it was trained, see `ojito data` and train.freeze",
        **evidence,
    )


class _Answers:
    """Logits and losses of the expected answers.

    Attributes:
        logits: (n, V) at the first targets of each row: all of a long answer's would take gigabytes.
        losses: The mean loss of each row, nats.
    """

    def __init__(self, patient: Patient, samples: Sequence[Sample]) -> None:
        kept, self.losses = [], []
        for batch in patient.batches(samples):
            where = labelled(batch)
            logits = patient.logits(batch, where)
            kept.append(logits[(where.cumsum(1)[where] <= _KEPT).cpu()])
            each = F.cross_entropy(logits, batch.targets[where].cpu(), reduction="none")
            self.losses += [float(one.mean()) for one in torch.split(each, where.sum(1).tolist())]
        self.logits: Tensor = torch.cat(kept)


@contextmanager
def _capture(module: nn.Module) -> Iterator[list[Tensor]]:
    """Context in which the first argument of each call of a module is kept."""
    captured: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, arguments: captured.append(arguments[0]))
    try:
        yield captured
    finally:
        handle.remove()


def _embeddings(patient: Patient) -> Tensor:
    tokens = sorted({token for row in patient.rows() for token in row.tokens if token != IMAGE})
    return patient.model.decoder.embed(torch.tensor([tokens], device=patient.model.device)).float()


def _rms(tensor: Tensor) -> float:
    return float(tensor.pow(2).mean().sqrt())


def _apart(a: Tensor, b: Tensor) -> float:
    return _rms(a - b) / max(_rms(b), 1e-30)


def _noise(seed: int) -> Image.Image:
    """Blocks of colour that no two seeds share."""
    rng = random.Random(f"doctor {seed}")
    small = Image.new("RGB", (6, 6))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(36)])
    return small.resize((48, 48), Image.Resampling.NEAREST)


def _shuffle(patient: Patient, image: object) -> Image.Image:
    """An image with its patches in another order, as the patient's own processor opens it, which may be what is ill."""
    opened = patient.processor.open_image(image).image  # type: ignore[arg-type]
    width, height = max(opened.width // _GRID, 1), max(opened.height // _GRID, 1)
    places = [(x * width, y * height) for y in range(_GRID) for x in range(_GRID)]
    others = random.Random("doctor").sample(places, len(places))
    made = opened.copy()
    for (x, y), (left, top) in zip(others, places, strict=True):
        made.paste(opened.crop((left, top, left + width, top + height)), (x, y))
    return made
