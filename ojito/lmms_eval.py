"""Ojito's models in lmms-eval, which has hundreds of public tasks: `python -m lmms_eval --model ojito`.

    python -m lmms_eval --model ojito --model_args pretrained=runs/mine,batch_size=16 --tasks pope,chartqa

lmms-eval finds this module by an entry point, once both are installed; Ojito itself never imports lmms-eval.

Source: docs/guides/model_guide.md and lmms_eval/models/registry_v2.py of lmms-eval 0.7, the "simple" interface.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from ojito.errors import OjitoError
from ojito.evaluate.likelihood import answer_logits
from ojito.generate import GenerateOptions, evaluating, make_options
from ojito.loading import load
from ojito.records import Sample, Turn

if TYPE_CHECKING:
    _Base = object
else:
    try:
        from lmms_eval.api.model import lmms as _Base
    except ImportError:  # then nobody asks for this class
        _Base = object

_TOKENS = 128  # of an answer, where a task says nothing


def manifest() -> Any:
    """Return what lmms-eval's registry takes: the name of the model, and where its class is."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="ojito", simple_class_path=f"{__name__}.OjitoModel")


class OjitoModel(_Base):
    """A model of Ojito as lmms-eval drives it.

    Args:
        pretrained: What `ojito.load` takes: a folder, a GGUF file, a public model that is on this machine.
        device: "auto", "cpu", "cuda".
        dtype: "auto", "float32", "bfloat16".
        quantize: "none", "int8", "int4".
        batch_size: Requests that are answered at once.
        **others: What lmms-eval passes to every model, and this one does not need.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        batch_size: int | str = 16,
        **others: Any,
    ) -> None:
        super().__init__()
        if str(batch_size) != "auto" and not str(batch_size).isdigit():
            raise OjitoError("batch_size", f"{batch_size!r} is not a number", "use batch_size=16")
        self.batch_size = 16 if str(batch_size) == "auto" else int(batch_size)
        self.pipe = load(pretrained, device or "auto", dtype, quantize=quantize)
        self.task_dict: dict[str, Any] = getattr(self, "task_dict", {})

    def generate_until(self, requests: Iterable[Any]) -> list[str]:
        """Return the answer to each request, in their order.

        Raises:
            ImageError: An image cannot be read.
            RowError: A question is too long for the model.
        """
        asked = [request.args for request in requests]
        samples = [self._sample(context, visual, *doc) for context, _, visual, *doc in asked]
        options = [answer_options(settings) for _, settings, *_ in asked]
        return [str(answer) for answer in self.pipe.generate(samples, options, batch_size=self.batch_size)]

    @torch.inference_mode()
    def loglikelihood(self, requests: Iterable[Any]) -> list[tuple[float, bool]]:
        """Return for each request how likely its continuation is, as a logarithm, and whether it is the likeliest.

        Raises:
            ImageError: An image cannot be read.
            RowError: A question is too long for the model, or its continuation is empty.
        """
        found = []
        with evaluating(self.pipe.model):
            for request in requests:
                context, target, visual, *doc = request.args
                answer = target if isinstance(target, str) else target(self._doc(*doc))
                sample = self._sample(context, visual, *doc)
                sample = dataclasses.replace(sample, turns=(Turn(sample.dialogue[-1].prompt, (str(answer),)),))
                row = self.pipe.processor.row(sample, training=True)
                logits, targets, _ = answer_logits(self.pipe, [row])
                likely = -F.cross_entropy(logits.float(), targets, reduction="sum").item()
                found.append((likely, bool((logits.argmax(-1) == targets).all())))
        return found

    def generate_until_multi_round(self, requests: Iterable[Any]) -> list[str]:
        """Refuse tasks of several rounds.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("Ojito's models answer tasks of one round")

    def _doc(self, number: Any, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]

    def _sample(self, context: str, visual: Any, number: Any, task: str, split: str) -> Sample:
        images = visual(self._doc(number, task, split)) if visual else []
        # Where images stand is written by some tasks; here they stand before the text, as in training.
        prompt = context.replace("<image>", "").strip()
        return Sample(images or [], turns=(Turn(prompt),), origin=f"{task}:{number}")


def answer_options(settings: Mapping[str, Any]) -> GenerateOptions:
    """Return options for the settings of a task: `max_new_tokens`, `until`, `temperature`, `top_p`, `num_beams`."""
    until = settings.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(until)
    keywords: dict[str, Any] = {
        "max_new_tokens": int(settings.get("max_new_tokens") or _TOKENS),
        "stop": tuple(text for text in stop if text),
        "beams": int(settings.get("num_beams") or 1),
    }
    if settings.get("do_sample", True) and float(settings.get("temperature") or 0) > 0:
        keywords.update(temperature=float(settings["temperature"]), top_p=settings.get("top_p"))
    return make_options(None, keywords)
