"""Numbers that cannot be right: weights, hidden states layer by layer, and the head."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.doctor.finding import Finding, alarm, healthy, skipped
from ojito.doctor.patient import Patient, difference, layers

_GROWTH = 100.0  # of the median token's norm in one layer; in healthy models a few times, at most
_LOUD = 50.0  # root mean square from which such growth counts
_SHOWN = 3


def weights(patient: Patient) -> Finding:
    """Are all weights numbers?"""
    state = {name: t for name, t in patient.model.state_dict().items() if t.is_floating_point()}
    bad = {name: int((~t.isfinite()).sum()) for name, t in state.items() if not bool(t.isfinite().all())}
    if not bad:
        return healthy(f"all {len(state)} tensors are finite", tensors=len(state))
    names = ", ".join([*bad][:_SHOWN])
    return alarm(
        f"{len(bad)} of {len(state)} tensors hold NaN or infinity: {names}",
        "load an earlier checkpoint, and train on with a lower learning rate or train.clip",
        not_finite=dict([*bad.items()][:_SHOWN]),
        tensors=len(state),
    )


def hidden_norms(patient: Patient) -> Finding:
    """Do hidden states stay finite and of a sane size from layer to layer?"""
    norms, growth = _watch(patient)
    bad = [name for name, norm in norms.items() if norm != norm or norm == float("inf")]
    if bad:
        return alarm(
            f"hidden states are no numbers any more from {bad[0]} on",
            f"look for a division by zero or a row that may attend to nothing in {bad[0]}; compute in float32",
            layer=bad[0],
            norms=norms,
        )
    exploding = [name for name, times in growth.items() if times > _GROWTH and norms[name] > _LOUD]
    if exploding:
        name = exploding[0]
        return alarm(
            f"hidden states explode in {name}: {growth[name]:.3g} times as large after it as before",
            "look at this layer's weights: a scale that is applied twice, or a tensor that was read wrongly",
            layer=name,
            growth=growth[name],
            norm=norms[name],
        )
    largest = max(norms, key=lambda name: norms[name])
    return healthy(
        f"{len(growth)} layers, of root mean square {min(norms.values()):.3g} to {norms[largest]:.3g}",
        largest=largest,
        norm=norms[largest],
        growth=max(growth.values(), default=1.0),
    )


def head(patient: Patient) -> Finding:
    """Is the head what the config says: the embedding table, or a matrix that tells tokens apart?"""
    decoder, config = patient.model.decoder, patient.model.config.decoder
    if not patient.model.decoder.head.plain:
        return skipped("the head is quantized")
    hidden = torch.randn(4, config.width, generator=torch.Generator().manual_seed(0)).to(
        patient.model.device, patient.model.dtype
    )
    logits = patient.model.head(hidden).float()
    if config.tied_head:
        tied = F.linear(hidden, decoder.embedding.weight).float()
        if config.final_softcap:
            tied = config.final_softcap * (tied / config.final_softcap).tanh()
        apart = difference(tied, logits)
        if apart > patient.tolerance:
            return alarm(
                "the head should use the embedding table (tied_head=true), and computes something else",
                "set decoder.untied_head to None, or tied_head=false if the checkpoint has a head of its own",
                difference=apart,
            )
    spread = float(logits.std(-1).mean())
    if spread == 0:
        return alarm(
            "the head gives every token the same logit",
            "load its weights: they may be missing from the checkpoint, or zero",
            spread=spread,
        )
    return healthy("tied to the embeddings" if config.tied_head else "a matrix of its own", spread=spread)


def _watch(patient: Patient) -> tuple[dict[str, float], dict[str, float]]:
    """Return by layer: the median token's root mean square after it, and how many times that before it that is."""
    norms: dict[str, float] = {}
    growth: dict[str, float] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, arguments: tuple[object, ...], output: object) -> None:
            if not isinstance(output, Tensor) or output.ndim != 3:
                return
            norms[name] = _median_norm(output)
            if arguments and isinstance(arguments[0], Tensor) and arguments[0].shape == output.shape:
                growth[name] = norms[name] / max(_median_norm(arguments[0]), 1e-30)

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers(patient.model).items()]
    try:
        batch = next(patient.batches(patient.samples[:4]))
        hidden = patient.model.features(batch)
    finally:
        for handle in handles:
            handle.remove()
    return {**norms, "decoder.norm": _median_norm(hidden)}, growth


def _median_norm(hidden: Tensor) -> float:
    """The median, over tokens, of their root mean square: some healthy models have a few tokens of huge norm."""
    norms = hidden.float().pow(2).mean(-1).sqrt().flatten()
    return float(norms.median()) if bool(norms.isfinite().all()) else float("nan")
