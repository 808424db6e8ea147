import pytest
import torch

from ojito.generate.sampling import Greedy, Temperature, TopK, TopP, choose, keep, penalize

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, -30.0]])


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def shares(sampler, draws=4000):
    """How often each token is chosen."""
    chosen = choose(LOGITS.expand(draws, -1), sampler, generators(draws))
    return chosen.bincount(minlength=5) / draws


def test_greedy_takes_the_likeliest_token():
    assert choose(torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]]), Greedy(), generators(2)).tolist() == [1, 0]


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
    assert keep(LOGITS, TopP(0.7)).isfinite().tolist() == [[True, True, False, False, False]]
    assert keep(LOGITS, TopP(0.6)).isfinite().tolist() == [[True, False, False, False, False]]
    assert keep(LOGITS, TopP(1e-9)).isfinite().sum() == 1


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
    torch.testing.assert_close(keep(logits, TopP(p, temperature, k)), expected, rtol=0, atol=0)
    if k:
        torch.testing.assert_close(keep(logits, TopK(k, temperature)), with_k, rtol=0, atol=0)


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
    together = choose(logits, Temperature(), generators(4, seed=7))
    alone = torch.cat([choose(logits[:1], Temperature(), generators(1, seed=7 + i)) for i in range(4)])
    assert torch.equal(together, alone)
    assert len(set(together.tolist())) > 1


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_token_without_a_chance_is_never_drawn(monkeypatch, number, token):
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([number], dtype=torch.float64))
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0]])
    assert choose(logits, Temperature(), generators(1)).tolist() == [token]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopK(0), "k=0 leaves no token"),
        (lambda: TopP(0), "p=0 must be greater than 0"),
        (lambda: TopP(1.5), "p=1.5 must be"),
        (lambda: TopP(0.5, k=-1), "k=-1 must be"),
        (lambda: Temperature(-1), "temperature=-1 must be 0"),
        (lambda: TopP(0.5, float("nan")), "temperature=nan must be"),
    ],
)
def test_sampler_out_of_range_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
