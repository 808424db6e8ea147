"""The loss of the expected answers, with the image and with less of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.errors import OjitoError
from ojito.evaluate import evaluate
from ojito.evaluate.likelihood import answer_losses, grounding_to_dict, loss_score, losses_beside, perplexity_score
from ojito.records import IGNORE, Sample, Turn


@pytest.fixture
def samples():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)]
    return [
        Sample([Image.new("RGB", (16, 16), rgb)], turns=(Turn("which?", ("a" * (n + 1),)),))
        for n, rgb in enumerate(colours)
    ]


def test_losses_are_those_of_the_labelled_tokens(pipe, samples):
    found = answer_losses(pipe, samples, batch_size=3)
    for sample, (loss, count) in zip(samples, found, strict=True):
        batch = pipe.processor([sample], training=True)
        with torch.no_grad():
            logits = pipe.model(batch)[..., : pipe.processor.tokenizer.size]
        expected = torch.nn.functional.cross_entropy(logits[0], batch.targets[0], ignore_index=IGNORE, reduction="sum")
        assert loss == pytest.approx(expected.item(), rel=1e-4)
        assert count == (batch.targets != IGNORE).sum()
    assert loss_score(found) == pytest.approx(sum(one for one, _ in found) / sum(count for _, count in found))


def test_who_cannot_be_read_is_none_and_the_others_stay_in_place(pipe, samples, tmp_path):
    rows = [Sample([tmp_path / "gone.png"], turns=samples[0].turns), samples[1], Sample(samples[2].images), samples[3]]
    found = answer_losses(pipe, rows, batch_size=2)
    assert [one is None for one in found] == [True, False, True, False]
    assert found[3] == pytest.approx(answer_losses(pipe, samples[3:])[0], rel=1e-4)


def test_progress_is_told_and_a_batch_of_nothing_refused(pipe, samples):
    told = []
    answer_losses(pipe, samples, 3, lambda *numbers: told.append(numbers))
    assert told == [(3, 4), (4, 4)]
    with pytest.raises(OjitoError, match="0 reads nothing"):
        answer_losses(pipe, samples, 0)


def test_losses_beside_are_those_of_the_altered_questions(pipe, samples):
    told = []
    report = evaluate(pipe, samples, controls=("blank", "none"), max_new_tokens=2)
    found = losses_beside(pipe, report, ("blank", "none"), progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (12, 12)
    own, blank = found["blank"]
    assert own == pytest.approx(float(loss_score(answer_losses(pipe, samples))), rel=1e-4)
    assert own == found["none"][0]
    assert len({float(own), float(blank), float(found["none"][1])}) == 3
    values = grounding_to_dict(report, "blank", found)
    assert values["loss_above"]["difference"] == pytest.approx(blank - own, abs=1e-3)
    assert values["n"] == 4


def test_questions_without_a_partner_are_compared_with_nothing(pipe, samples):
    rows = [*samples[:2], Sample(samples[0].images * 2, turns=samples[0].turns)]
    report = evaluate(pipe, rows, controls=("exchanged",), max_new_tokens=2)
    own, other = losses_beside(pipe, report, ("exchanged",))["exchanged"]
    assert own.counts.shape == other.counts.shape == (2, 2)
    assert not np.array_equal(own.counts, other.counts)


def test_perplexity_is_the_exponential_of_the_loss_with_its_interval(pipe, samples):
    losses = answer_losses(pipe, samples)
    score = perplexity_score(losses)
    assert score == pytest.approx(np.exp(float(loss_score(losses))))
    low, high = score.interval()
    assert 1 <= low <= score <= high
    with pytest.raises(OjitoError, match="no row has an answer that can be read"):
        perplexity_score([])
    assert perplexity_score([(1e6, 1)]) == np.inf
