"""All examinations of a model, one after another. One that needs a healthy part is skipped where that is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ojito.doctor import looking, pixels, prompts, reading, weights
from ojito.doctor.finding import Finding, Report, alarm, skipped
from ojito.doctor.patient import Patient
from ojito.doctor.prompts import needs_images
from ojito.errors import OjitoError
from ojito.generate.model import evaluating
from ojito.pipeline import Pipeline
from ojito.records import Progress, Sample


class Examination(NamedTuple):
    """One examination.

    Attributes:
        name: Its name in the report.
        examine: What makes its finding.
        needs: Examinations without whose good result its own would mean nothing.
    """

    name: str
    examine: Callable[[Patient], Finding]
    needs: tuple[str, ...] = ()


_RUNS = ("hidden norms",)  # what needs a forward pass that can be trusted

EXAMINATIONS = (
    Examination("weights", weights.weights),
    Examination("vocabulary", prompts.vocabulary),
    Examination("placeholders", needs_images(prompts.placeholders)),
    Examination("template", prompts.template),
    Examination("bos", prompts.bos, ("template",)),
    Examination("separator", prompts.separator, ("template",)),
    Examination("targets", prompts.targets),
    Examination("eos", prompts.eos, ("targets",)),
    Examination("prompt loss", prompts.prompt_loss, ("targets",)),
    Examination("pixel statistics", needs_images(pixels.statistics)),
    Examination("channels", needs_images(pixels.channels)),
    Examination("upright", needs_images(pixels.upright)),
    Examination("proportions", needs_images(pixels.proportions)),
    Examination("hidden norms", weights.hidden_norms, ("weights", "vocabulary", "placeholders")),
    Examination("head", weights.head, ("weights",)),
    Examination("connector", needs_images(looking.connector), _RUNS),
    Examination("padding", reading.padding, _RUNS),
    Examination("causality", reading.causality, _RUNS),
    Examination("image order", needs_images(looking.order), (*_RUNS, "connector")),
    Examination("decoding", reading.decoding, (*_RUNS, "padding", "causality", "head", "image order")),
    Examination("alignment", reading.alignment, (*_RUNS, "prompt loss", "causality", "head")),
    Examination("image", needs_images(looking.image), (*_RUNS, "connector", "image order", "alignment")),
)


def examine(
    pipe: Pipeline,
    samples: Sequence[Sample] = (),
    *,
    own: bool | None = None,
    limit: int = 32,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Examine a model and its processor.

    Args:
        pipe: The model.
        samples: Rows with answers to examine it on; none draws scenes.
        own: Whether the model should have learned what they ask; None means that it should, where samples are given
            or its recipe's data are scenes.
        limit: The most rows.
        progress: Called with the examinations that are done, and with all of them.

    Raises:
        OjitoError: None of the samples can be read.
    """
    findings: dict[str, Finding] = {}
    with evaluating(pipe.model), torch.no_grad():
        patient = Patient(pipe, samples, own, limit)
        for number, one in enumerate(EXAMINATIONS):
            progress(number, len(EXAMINATIONS))
            findings[one.name] = dataclasses.replace(_examine(one, patient, findings), examination=one.name)
    progress(len(EXAMINATIONS), len(EXAMINATIONS))
    return Report(pipe.name, tuple(findings.values()))


def _examine(one: Examination, patient: Patient, findings: dict[str, Finding]) -> Finding:
    broken = [name for name in one.needs if name in findings and _blocks(findings[name])]
    if broken:
        return skipped(f"not before {broken[0]} is healthy")
    try:
        return one.examine(patient)
    except OjitoError as error:
        return alarm(str(error), error.remedy)
    except Exception as error:  # noqa: BLE001 - a broken model fails in any way, and that is what is to be found
        return alarm(f"the model or its processor fails: {type(error).__name__}: {error}", "OJITO_DEBUG=1 shows where")


def _blocks(finding: Finding) -> bool:
    """Whether what needs a healthy finding has to be skipped."""
    return finding.severity == "alarm" or (finding.severity == "skipped" and finding.says.startswith("not before"))
