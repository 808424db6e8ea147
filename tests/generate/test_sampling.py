import numpy as np
import pytest
import torch

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions
from ojito.generate.sampling import Greedy, Temperature, TopK, TopP, check_sampler, is_greedy, penalize

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, -30.0]])


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def shares(sampler, draws=4000):
    """How often each token is chosen."""
    chosen = sampler.choose(LOGITS.expand(draws, -1), generators(draws))
    return chosen.bincount(minlength=5) / draws


def test_greedy_takes_the_likeliest_token():
    assert Greedy().choose(torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]]), generators(2)).tolist() == [1, 0]


@pytest.mark.parametrize("sampler", [Temperature(0), TopK(3, 0), TopP(0.9, 0)])
def test_temperature_of_zero_is_greedy(sampler):
    assert shares(sampler, 10).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_draws_tokens_as_often_as_the_model_says(temperature):
    expected = (LOGITS[0] / temperature).softmax(dim=-1)
    torch.testing.assert_close(shares(Temperature(temperature)), expected, rtol=0, atol=0.03)


def test_top_k_draws_from_the_k_likeliest_alone():
    drawn = shares(TopK(2))
    assert drawn[2:].tolist() == [0, 0, 0]
    torch.testing.assert_close(drawn[:2], LOGITS[0, :2].softmax(dim=-1), rtol=0, atol=0.03)


def test_top_p_keeps_the_token_that_reaches_p():
    # The chances are 0.64, 0.24, 0.09, 0.03: 0.64 alone does not reach 0.7, so the second is kept.
    assert TopP(0.7).keep(LOGITS).isfinite().tolist() == [[True, True, False, False, False]]
    assert TopP(0.6).keep(LOGITS).isfinite().tolist() == [[True, False, False, False, False]]
    assert TopP(1e-9).keep(LOGITS).isfinite().sum() == 1


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.8, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("k", [0, 1, 7, 1000])
def test_matches_reference_transformers_warpers(p, temperature, k):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    logits = torch.randn(5, 50) * 3
    expected = transformers.TemperatureLogitsWarper(temperature)(None, logits)
    if k:
        expected = transformers.TopKLogitsWarper(k)(None, expected)
    with_k = expected
    expected = transformers.TopPLogitsWarper(p)(None, expected)
    torch.testing.assert_close(TopP(p, temperature, k).keep(logits), expected, rtol=0, atol=0)
    if k:
        torch.testing.assert_close(TopK(k, temperature).keep(logits), with_k, rtol=0, atol=0)


@pytest.mark.parametrize("penalty", [0.8, 1.0, 1.3])
def test_matches_reference_transformers_repetition_penalty(penalty):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    logits, ids = torch.randn(3, 20), torch.randint(0, 20, (3, 8))
    expected = transformers.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    seen = torch.zeros(3, 20, dtype=torch.bool).scatter(1, ids, True)
    torch.testing.assert_close(penalize(logits, seen, penalty), expected, rtol=0, atol=0)


def test_rows_draw_with_their_own_generators():
    logits = torch.zeros(4, 1000)
    together = Temperature().choose(logits, generators(4, seed=7))
    alone = torch.cat([Temperature().choose(logits[:1], generators(1, seed=7 + i)) for i in range(4)])
    assert torch.equal(together, alone)
    assert len(set(together.tolist())) > 1


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_token_without_a_chance_is_never_drawn(monkeypatch, number, token):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([number], dtype=torch.float64))
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0]])
    assert Temperature().choose(logits, generators(1)).tolist() == [token]


TINY = [1e-5, 1e-9, 1e-40, 1e-45, 5e-324]


@pytest.mark.parametrize("temperature", [*TINY, 1e-3])
@pytest.mark.parametrize("sampler", [Temperature, lambda t: TopK(3, t), lambda t: TopP(0.9, t)], ids=["t", "k", "p"])
def test_tiny_temperature_is_greedy(sampler, temperature):
    logits = torch.tensor([[1.0, 5.0, 4.0, -3.0], [-1e4, -2e4, -3e4, -9e3], [0.0, 1.0, 0.0, 0.0]])
    assert sampler(temperature).choose(logits, generators(3)).tolist() == [1, 3, 1]


def test_sampler_of_ones_own_is_greedy_by_its_temperature_alone():
    class Own(Greedy):
        temperature = "cold"

    assert not is_greedy(Own())
    Own.temperature = 0
    assert is_greedy(Own())
    Own.temperature = None
    with pytest.raises(OjitoError, match="beams: 2 are searched without chance"):
        GenerateOptions(beams=2, sampler=Own())


@pytest.mark.parametrize("p", TINY)
def test_tiny_p_is_greedy(p):
    logits = torch.tensor([[1.0, 5.0, 4.0, -3.0], [0.0, 0.0, 0.0, 0.1]])
    assert TopP(p).choose(logits, generators(2)).tolist() == [1, 3]


@pytest.mark.parametrize("temperature", [1e6, 1e38, 1e300])
def test_huge_temperature_draws_every_token(temperature):
    drawn = shares(Temperature(temperature), 400)
    assert (drawn > 0).all()


def test_numbers_may_be_numpys():
    assert TopK(np.int64(2), np.float32(0.5)).choose(LOGITS, generators(1)).shape == (1,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopK(0), "k: 0 leaves no token"),
        (lambda: TopK(1.5), "k: 1.5 is not a whole number"),
        (lambda: TopK(None), "k: None is not a whole number"),
        (lambda: TopK(True), "k: True is not a whole number"),
        (lambda: TopP(0), "p: 0 must be greater than 0"),
        (lambda: TopP(1.5), "p: 1.5 must be"),
        (lambda: TopP("0.5"), "p: '0.5' must be"),
        (lambda: TopP(float("nan")), "p: nan must be"),
        (lambda: TopP(0.5, k=-1), "k: -1 must be"),
        (lambda: TopP(0.5, k=2.0), "k: 2.0 must be"),
        (lambda: Temperature(-1), "temperature: -1 must be 0"),
        (lambda: Temperature(None), "temperature: None must be 0"),
        (lambda: Temperature("hot"), "temperature: 'hot' must be 0"),
        (lambda: Temperature(float("inf")), "temperature: inf must be 0"),
        (lambda: TopP(0.5, float("nan")), "temperature: nan must be"),
        (lambda: check_sampler("greedy"), r"sampler: 'greedy' is none; use Greedy\(\), Temperature\(0.7\)"),
        (lambda: check_sampler(Greedy), "sampler: <class .*Greedy'> is none"),
        (lambda: check_sampler(None), "sampler: None is none"),
    ],
)
def test_sampler_out_of_range_is_an_error(make, message):
    with pytest.raises(OjitoError, match=message) as error:
        make()
    assert error.value.where
    assert error.value.remedy
