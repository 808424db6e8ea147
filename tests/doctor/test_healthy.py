"""A healthy model gives no alarm: of any style, untrained, trained, with any prompt."""

import pytest

from ojito.config import ImageConfig, PromptConfig
from ojito.doctor import examine
from tests.doctor.conftest import make_pipe
from tests.model.conftest import STYLES


def alarms(report):
    return [(one.examination, one.says, one.evidence) for one in report.findings if one.severity == "alarm"]


@pytest.mark.parametrize("random_norms", [False, True], ids=["initialized", "randomized"])
@pytest.mark.parametrize("tower", ["vit", "resnet"])
@pytest.mark.parametrize("style", STYLES)
def test_untrained_model_is_healthy(style, tower, random_norms):
    pipe = make_pipe(style, tower, random_norms=random_norms)
    report = examine(pipe, limit=8)
    assert alarms(report) == []
    assert not [one for one in report.findings if one.severity == "skipped" and one.says.startswith("not before")]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("own", [False, True])
def test_untrained_model_on_data_has_at_most_not_learned_to_look(cards, style, own):
    report = examine(make_pipe(style), cards, own=own)
    assert alarms(report) == []
    assert [one.examination for one in report.findings if one.severity == "note"] in ([], ["image"])


def test_trained_model_looks(learned, cards):
    report = examine(learned, cards)
    assert alarms(report) == []
    assert report.of("image").says.startswith("it looks")
    assert report.of("alignment").says.endswith("no lower when shifted")
