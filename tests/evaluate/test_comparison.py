import copy
import dataclasses
import math

import pytest
import torch

from ojito.errors import OjitoError
from ojito.evaluate.comparison import Expectations, compare_expectations, same_answers
from ojito.evaluate.runner import Graded, Report
from ojito.inference import quantize
from ojito.pipeline import Pipeline
from ojito.processor import Processor
from ojito.records import Sample, Turn


@pytest.fixture
def pipe(join):
    return join()


@pytest.fixture
def samples():
    return [Sample([], turns=(Turn(f"what is {word}", (word,)),)) for word in ("ab", "cab", "d", "ba")]


def test_model_beside_itself_differs_in_nothing(pipe, samples):
    found = compare_expectations(pipe, pipe, samples)
    assert found.perplexity == found.other_perplexity
    assert found.perplexity_change == 0
    assert found.cosine == pytest.approx(1)
    assert found.same_likeliest == 1
    assert found.tokens > len(samples)


def test_perplexity_is_that_of_the_answers(pipe, samples):
    batch = pipe.processor(samples, training=True)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            pipe.model(batch).flatten(0, 1)[:, : pipe.processor.tokenizer.size], batch.targets.flatten()
        )
    assert compare_expectations(pipe, pipe, samples).perplexity == pytest.approx(loss.exp().item(), rel=1e-4)


def test_quantized_model_is_told_from_the_exact_one(pipe, samples):
    rough = Pipeline(quantize(copy.deepcopy(pipe.model), "int4"), pipe.processor)
    found = compare_expectations(rough, pipe, samples)
    assert found.cosine < 0.99999
    assert found.perplexity != found.other_perplexity
    assert found.to_dict()["perplexity_change"] == found.perplexity / found.other_perplexity - 1


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batches_change_nothing(pipe, samples, size):
    rough = Pipeline(quantize(copy.deepcopy(pipe.model), "int4"), pipe.processor)
    heard = []
    found = compare_expectations(rough, pipe, samples, size, lambda done, whole: heard.append((done, whole)))
    whole = compare_expectations(rough, pipe, samples)
    assert found.tokens == whole.tokens
    assert found.cosine == pytest.approx(whole.cosine, rel=1e-2)
    assert heard[-1] == (4, 4)


def test_samples_that_cannot_be_read_are_left_out(pipe, samples):
    broken = Sample(["gone.png"], turns=(Turn("a", ("b",)),))
    assert compare_expectations(pipe, pipe, [broken, *samples]) == compare_expectations(pipe, pipe, samples)
    with pytest.raises(OjitoError, match="no answers that can be read"):
        compare_expectations(pipe, pipe, [broken])


def test_samples_that_the_other_model_cannot_read_are_left_out(pipe, samples):
    prompt = dataclasses.replace(pipe.processor.config.prompt, max_tokens=len(pipe.processor([samples[1]]).tokens[0]))
    config = dataclasses.replace(pipe.processor.config, prompt=prompt)
    short = Processor(config, pipe.processor.tokenizer, pipe.processor.image_size, pipe.model.config.image_tokens)
    for pair in ((pipe, Pipeline(pipe.model, short)), (Pipeline(pipe.model, short), pipe)):
        assert 0 < compare_expectations(*pair, samples).tokens < compare_expectations(pipe, pipe, samples).tokens


def test_model_in_training_is_compared_as_it_answers(join, samples):
    pipe = join()
    before = compare_expectations(pipe, pipe, samples)
    pipe.model.train()

    def refuse(module, args):
        assert not module.training

    for module in pipe.model.modules():
        module.register_forward_pre_hook(refuse)
    found = compare_expectations(pipe, pipe, samples)
    assert found.perplexity == pytest.approx(before.perplexity, rel=1e-5)
    assert pipe.model.training


def test_perplexity_of_a_model_that_expects_nothing_of_this_is_infinite(pipe, samples):
    sure = copy.deepcopy(pipe.model)
    sure.decoder.norm.weight.data.mul_(1e6)
    found = compare_expectations(Pipeline(sure, pipe.processor), pipe, samples)
    assert found.perplexity == math.inf
    assert found.other_perplexity < math.inf


def test_batch_of_no_samples_is_an_error(pipe, samples):
    with pytest.raises(OjitoError, match="batch_size: 0 reads nothing"):
        compare_expectations(pipe, pipe, samples, 0)


def test_share_of_same_answers():
    def report(*given):
        return Report([Graded(Sample(prompt="a"), one, False, number=n) for n, one in enumerate(given)])

    assert same_answers(report("a", "b", "c", "d"), report("a", "x", "c", "y")) == 0.5
    assert isinstance(Expectations(1, 2.0, 2.0, 1.0, 1.0).perplexity_change, float)
