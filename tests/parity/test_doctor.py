"""The doctor finds nothing wrong with public models, as transformers and nanoVLM write them."""

import pytest

from ojito.doctor import examine
from tests.parity.reference import FAMILIES

PALIGEMMA = {"like": "paligemma", "connector": "linear"}


def alarms(report):
    return [(one.examination, one.says, one.evidence) for one in report.findings if one.severity == "alarm"]


@pytest.mark.parametrize("family", FAMILIES)
def test_public_family_is_healthy(usual, family):
    _, ours = usual(family)
    assert alarms(examine(ours, limit=4)) == []


def test_released_nanovlm_is_healthy(pipes):
    for name, pipe in pipes.items():
        assert (name, alarms(examine(pipe, limit=4))) == (name, [])


@pytest.mark.parametrize(("decoder", "how"), [("smollm", {}), ("gpt2", {}), ("smollm", PALIGEMMA)])
def test_built_model_is_healthy(join, parts, decoder, how):
    assert alarms(examine(join(decoder=parts / decoder, **how), limit=4)) == []
