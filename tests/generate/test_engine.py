import dataclasses

import pytest
import torch

from ojito.errors import OjitoError
from ojito.generate import (
    GenerateOptions,
    Greedy,
    Temperature,
    TopK,
    TopP,
    engine,
    evaluating,
    make_options,
    prefill,
    step,
)
from ojito.model import VLM
from ojito.records import Sample, Turn

EOS = 2
STYLES = {
    "llama": {},
    "gpt2": {"positions": "learned", "norm": "layer", "mlp": "plain", "activation": "gelu", "bias": True},
    "gemma": {"norm": "rms_plus_one", "scale_embeddings": True, "kv_heads": 1, "mask": "prefix", "window": 6},
}


@pytest.fixture(params=STYLES)
def model(request, tiny_config):
    """Random, and sharp enough that rounding decides nothing."""
    decoder = dataclasses.replace(tiny_config.decoder, **STYLES[request.param])
    torch.manual_seed(1)
    model = VLM(dataclasses.replace(tiny_config, decoder=decoder)).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


ENGINE = ("eos", "vocab_size", "stops")


def stream(model, batch, **keywords):
    """The engine's, with options as keywords."""
    own = {name: keywords.pop(name) for name in ENGINE if name in keywords}
    return engine.stream(model, batch, make_options(None, keywords), **own)


def generate(model, batch, **keywords):
    *_, rows = stream(model, batch, **keywords)
    return rows


def tokens(rows):
    return [row.tokens for row in rows]


def scripted(script, ends=(EOS,)):
    """A head after which each row says its tokens one by one, and 5 for ever after them; rows that end leave."""
    rows = list(script)

    def head(hidden):
        assert len(hidden) == len(rows)
        logits = torch.zeros(len(rows), 64)
        said = [script[row].pop(0) if script[row] else 5 for row in rows]
        logits[range(len(rows)), said] = 1.0
        ended = [place for place, token in enumerate(said) if token in ends]
        behind = [row for place, row in enumerate(rows) if place >= len(rows) - len(ended) and place not in ended]
        rows[:] = [behind.pop() if place in ended else row for place, row in enumerate(rows[: len(rows) - len(ended)])]
        return logits

    return head


def greedy_by_hand(model, batch, steps):
    """Without a cache: the whole row is read anew for every token."""
    out = []
    for _ in range(steps):
        token = model(batch)[:, -1].argmax(dim=-1, keepdim=True)
        out.append(token)
        grown = {
            "tokens": token,
            "positions": batch.positions[:, -1:] + 1,
            "segments": batch.segments[:, -1:],
            "prefix": torch.zeros_like(token, dtype=torch.bool),
            "targets": batch.targets[:, -1:],
        }
        batch = dataclasses.replace(batch, **{k: torch.cat((getattr(batch, k), v), dim=1) for k, v in grown.items()})
    return torch.cat(out, dim=1).tolist()


def test_generate_equals_reading_the_whole_row_anew_for_every_token(model, tiny_processor, questions):
    batch = tiny_processor(questions)
    with torch.no_grad():
        expected = greedy_by_hand(model, batch, 12)
    assert tokens(generate(model, batch, eos=-1, max_new_tokens=12)) == expected


@pytest.mark.parametrize("sampler", [Greedy(), Temperature(0.8), TopK(5), TopP(0.8)], ids=str)
def test_batched_equals_single_for_unequal_prompts(model, tiny_processor, questions, sampler):
    together = generate(model, tiny_processor(questions), eos=EOS, max_new_tokens=20, sampler=sampler, seed=5)
    for i, question in enumerate(questions):
        (alone,) = generate(model, tiny_processor([question]), eos=EOS, max_new_tokens=20, sampler=sampler, seed=5 + i)
        assert alone == together[i]


def test_stream_grows_the_rows_of_generate(model, tiny_processor, questions):
    batch = tiny_processor(questions)
    final = generate(model, batch, eos=EOS, max_new_tokens=8)
    for number, rows in enumerate(stream(model, batch, eos=EOS, max_new_tokens=8, drafts=0), 1):
        assert tokens(rows) == [row.tokens[:number] for row in final]
    assert rows == final


def test_images_are_encoded_once_a_request(model, tiny_processor, questions, monkeypatch):
    met = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda images: met.append(len(images)) or encode(images))
    generate(model, tiny_processor(questions), eos=-1, max_new_tokens=5)
    assert met == [4]


def test_head_reads_the_last_place_of_each_row_alone(model, tiny_processor, questions, monkeypatch):
    met = []
    head = model.head
    monkeypatch.setattr(model, "head", lambda hidden: met.append(tuple(hidden.shape)) or head(hidden))
    generate(model, tiny_processor(questions), eos=-1, max_new_tokens=3)
    assert met == [(4, 32)] * 3


def test_rows_finish_one_by_one_at_the_end_token(tiny_model, tiny_processor, questions, monkeypatch):
    monkeypatch.setattr(tiny_model, "head", scripted({0: [7, 8, EOS], 1: [EOS], 2: [9, 9, 9], 3: [7, EOS]}))
    rows = generate(tiny_model, tiny_processor(questions), eos=EOS, max_new_tokens=4)
    assert tokens(rows) == [[7, 8], [], [9, 9, 9, 5], [7]]
    assert [row.finish for row in rows] == ["eos", "eos", "length", "eos"]


def test_any_of_several_end_tokens_ends_a_row(tiny_model, tiny_processor, questions, monkeypatch):
    monkeypatch.setattr(tiny_model, "head", scripted({0: [7, 9], 1: [8], 2: [EOS], 3: [7, EOS]}, (EOS, 8, 9)))
    rows = generate(tiny_model, tiny_processor(questions), eos=(EOS, 8, 9), max_new_tokens=4)
    assert tokens(rows) == [[7], [], [], [7]]
    assert {row.finish for row in rows} == {"eos"}


def test_generation_ends_when_all_rows_have(tiny_model, tiny_processor, questions, monkeypatch):
    logits = torch.zeros(4, 64)
    logits[:, EOS] = 1.0
    monkeypatch.setattr(tiny_model, "head", lambda hidden: logits)
    assert len(list(stream(tiny_model, tiny_processor(questions), eos=EOS, max_new_tokens=50))) == 1


def test_stop_ends_a_row(tiny_model, tiny_processor, questions):
    batch = tiny_processor(questions)
    stops = [None, *(lambda tokens, most=most: len(tokens) > most for most in (1, 2, 3))]
    rows = generate(tiny_model, batch, eos=-1, max_new_tokens=9, stops=stops)
    assert [len(row.tokens) for row in rows] == [9, 2, 3, 4]
    assert [row.finish for row in rows] == ["length", "stop", "stop", "stop"]


def test_seed_decides_what_is_sampled(tiny_model, tiny_processor, questions):
    def sample(seed):
        return tokens(
            generate(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=9, sampler=Temperature(), seed=seed)
        )

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)


def test_sampling_leaves_pytorchs_own_random_state_alone(tiny_model, tiny_processor, questions):
    before = torch.get_rng_state()
    generate(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=3, sampler=Temperature())
    assert torch.equal(torch.get_rng_state(), before)


def test_max_new_tokens_changes_the_length(tiny_model, tiny_processor, questions):
    for count in (1, 6):
        rows = generate(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=count)
        assert [len(row.tokens) for row in rows] == [count] * 4


def test_vocab_size_keeps_ids_beyond_it_from_being_chosen(tiny_model, tiny_processor, questions):
    sampler = Temperature(50.0)  # nearly uniform
    batch = tiny_processor(questions)
    free = generate(tiny_model, batch, eos=-1, max_new_tokens=20, sampler=sampler)
    kept = generate(tiny_model, batch, eos=-1, max_new_tokens=20, sampler=sampler, vocab_size=10)
    assert max(map(max, tokens(free))) >= 10
    assert max(map(max, tokens(kept))) < 10


def test_repetition_penalty_counts_the_text_of_prompt_and_answer(tiny_model, tiny_processor, questions):
    batch = tiny_processor(questions)
    rows = generate(tiny_model, batch, eos=-1, max_new_tokens=8, repetition_penalty=1e9)
    for number, row in enumerate(rows):
        text = set(batch.tokens[number][batch.segments[number] >= 0].tolist())
        assert len(set(row.tokens)) == 8
        assert not set(row.tokens) & text
    assert tokens(rows) != tokens(generate(tiny_model, batch, eos=-1, max_new_tokens=8))


def test_padding_is_not_penalized(tiny_model, tiny_processor, questions, monkeypatch):
    pad = tiny_processor.tokenizer.pad
    logits = torch.zeros(4, 64)
    logits[:, pad], logits[:, 40] = 1.0, 0.9
    monkeypatch.setattr(tiny_model, "head", lambda hidden: logits.clone())
    rows = generate(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=1, repetition_penalty=2.0)
    assert tokens(rows) == [[pad]] * 4


def test_answer_ends_where_the_positions_do_for_each_row(tiny_config, tiny_processor, questions):
    batch = tiny_processor(questions)
    used = (batch.positions[:, -1] + 1).tolist()
    decoder = dataclasses.replace(tiny_config.decoder, max_positions=max(used) + 2, positions="learned")
    model = VLM(dataclasses.replace(tiny_config, decoder=decoder))
    rows = generate(model, batch, eos=-1, max_new_tokens=15)
    assert [len(row.tokens) for row in rows] == [min(15, max(used) + 2 - n) for n in used]
    assert {row.finish for row in rows} == {"length"}


def test_prompt_that_leaves_no_position_is_an_error_before_anything_runs(tiny_config, tiny_processor, questions):
    decoder = dataclasses.replace(tiny_config.decoder, max_positions=20)
    model = VLM(dataclasses.replace(tiny_config, decoder=decoder))
    model.encode = lambda images: pytest.fail("ran")
    with pytest.raises(ValueError, match="a prompt takes 24 positions, which leaves none of the decoder's 20"):
        generate(model, tiny_processor(questions), eos=-1)


def test_prompts_padded_on_the_right_are_an_error(tiny_model, tiny_processor):
    samples = [Sample(turns=(Turn(text, ("red",)),)) for text in ("it", "which colour")]
    with pytest.raises(ValueError, match="padded on the right"):
        generate(tiny_model, tiny_processor(samples, training=True), eos=-1)


def test_seed_beyond_the_last_row_is_an_error(tiny_model, tiny_processor, questions):
    with pytest.raises(OjitoError, match=f"seed: {2**63 - 3} is beyond what a random generator takes"):
        generate(tiny_model, tiny_processor(questions), eos=-1, seed=2**63 - 3)


def test_stop_texts_need_what_finds_them(tiny_model, tiny_processor, questions):
    with pytest.raises(OjitoError, match="stop: the engine knows no texts"):
        generate(tiny_model, tiny_processor(questions), eos=-1, stop=["a"])


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 4])
def test_first_and_last_seed_of_four_rows_draw(tiny_model, tiny_processor, questions, seed):
    rows = generate(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=2, sampler=Temperature(), seed=seed)
    assert [len(row.tokens) for row in rows] == [2] * 4


def test_damaged_weights_are_an_error_instead_of_nonsense(tiny_model, tiny_processor, questions):
    tiny_model.decoder.norm.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="logits: are not finite"):
        generate(tiny_model, tiny_processor(questions), eos=-1)


def test_modes_of_all_modules_are_restored(tiny_config, tiny_processor, questions):
    decoder = dataclasses.replace(tiny_config.decoder, dropout=0.5)
    model = VLM(dataclasses.replace(tiny_config, decoder=decoder)).train()
    model.vision.eval()  # a frozen part
    batch = tiny_processor(questions)
    first = generate(model, batch, eos=-1, max_new_tokens=5)
    assert generate(model, batch, eos=-1, max_new_tokens=5) == first  # no dropout
    assert model.decoder.blocks[0].dropout.training
    assert not model.vision.blocks[0].training
    stream(model, batch, eos=-1).close()
    abandoned = stream(model, batch, eos=-1)
    next(abandoned)
    abandoned.close()
    assert model.training


def test_evaluating_restores_modes_after_an_error(tiny_model):
    tiny_model.train()
    with pytest.raises(KeyError), evaluating(tiny_model):
        raise KeyError
    assert all(module.training for module in tiny_model.modules())


def test_inference_mode_ends_between_the_pieces_of_a_stream(tiny_model, tiny_processor, questions):
    for _ in stream(tiny_model, tiny_processor(questions), eos=-1, max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


def test_blind_question_goes_on_in_its_own_segment(tiny_model, tiny_processor, questions):
    batch = tiny_processor(questions)
    batch.segments[:, -3:] = 7
    met = []
    features = tiny_model.features
    tiny_model.features = lambda batch, cache, **last: met.append(batch) or features(batch, cache, **last)
    generate(tiny_model, batch, eos=-1, max_new_tokens=3)
    assert [b.segments[:, -1].tolist() for b in met] == [[7] * 4] * 3
    assert [b.positions[0, -1].item() - met[0].positions[0, -1].item() for b in met] == [0, 1, 2]
    assert not met[1].prefix.any()


def test_cache_follows_the_models_dtype(tiny_model, tiny_processor, questions):
    rows = generate(tiny_model.bfloat16(), tiny_processor(questions), eos=-1, max_new_tokens=3)
    assert all(len(row.tokens) == 3 for row in rows)


# ------------------------------------------------------------------------------------------------------ steps, options


def test_steps_after_prefill_are_the_stream(model, tiny_processor, questions):
    batch, options = tiny_processor(questions), GenerateOptions(max_new_tokens=6, sampler=Temperature(0.9), seed=3)
    state = prefill(model, batch, options, eos=EOS)
    assert tokens(state.rows) == [[]] * 4
    for rows in engine.stream(model, batch, options, eos=EOS):
        assert step(state) is state.rows
        assert tokens(state.rows) == tokens(rows)
    assert state.done
    assert state.rows == engine.generate(model, batch, options, eos=EOS)
    with pytest.raises(OjitoError, match="every row has ended"):
        step(state)


def test_prefill_and_step_evaluate_and_leave_the_mode(tiny_config, tiny_processor, questions):
    decoder = dataclasses.replace(tiny_config.decoder, dropout=0.5)
    model, batch = VLM(dataclasses.replace(tiny_config, decoder=decoder)).train(), tiny_processor(questions)
    said = []
    for _ in range(2):
        state = prefill(model, batch, GenerateOptions(max_new_tokens=5), eos=-1)
        while not state.done:
            step(state)
        said.append(state.rows)
    assert said[0] == said[1]
    assert model.training


def test_rows_may_have_different_options(model, tiny_processor, questions):
    each = [
        GenerateOptions(max_new_tokens=5),
        GenerateOptions(max_new_tokens=8, sampler=Temperature(0.8), seed=4, repetition_penalty=2.0),
        GenerateOptions(max_new_tokens=3, sampler=TopK(5), seed=4),
        GenerateOptions(max_new_tokens=8, sampler=Temperature(0.8), seed=9),
    ]
    together = engine.generate(model, tiny_processor(questions), each, eos=-1)
    assert [len(row.tokens) for row in together] == [5, 8, 3, 8]
    for question, options, row in zip(questions, each, together, strict=True):
        assert engine.generate(model, tiny_processor([question]), options, eos=-1) == [row]


@dataclasses.dataclass(frozen=True)
class Gumbel:
    """A sampler that somebody else wrote."""

    def choose(self, logits, generators):
        noise = torch.stack([torch.empty(logits.shape[-1]).exponential_(generator=g) for g in generators])
        return (logits - noise.log()).argmax(dim=-1)


class Last:
    """A sampler that is no dataclass, and equal to itself alone."""

    def choose(self, logits, generators):
        return torch.full((len(generators),), logits.shape[-1] - 1)


def test_sampler_of_ones_own_chooses(model, tiny_processor, questions):
    batch = tiny_processor(questions)
    together = generate(model, batch, eos=-1, max_new_tokens=9, sampler=Gumbel(), seed=5)
    for i, question in enumerate(questions):
        alone = generate(model, tiny_processor([question]), eos=-1, max_new_tokens=9, sampler=Gumbel(), seed=5 + i)
        assert alone == [together[i]]
    assert together != generate(model, batch, eos=-1, max_new_tokens=9, sampler=Gumbel(), seed=6)
    assert tokens(generate(model, batch, eos=-1, max_new_tokens=2, sampler=Last(), vocab_size=20)) == [[19, 19]] * 4


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (3, "returned 3; choose returns a tensor of 4 ids"),
        (torch.zeros(4, 1), r"returned \(4, 1\); choose returns a tensor of 4 ids"),
        (torch.tensor([0, 0, 64, 0]), "chose 64; choose below 64"),
        (torch.tensor([0, -1, 0, 0]), "chose -1; choose below 64"),
    ],
    ids=str,
)
def test_sampler_that_returns_no_tokens_is_an_error(tiny_model, tiny_processor, questions, returned, message):
    class Wrong:
        def choose(self, logits, generators):
            return returned

    batch = tiny_processor(questions)
    with pytest.raises(OjitoError, match=message):
        generate(tiny_model, batch, eos=-1, sampler=Wrong())


GOLDEN = {
    Temperature(0.9): [[59, 58, 33, 9, 26, 13], [25, 52, 17, 4, 44, 38]],
    TopK(9, 1.5): [[29, 58, 43, 9, 26, 13], [32, 52, 17, 4, 44, 38]],
    TopP(0.8, 1.2, 30): [[45, 58, 43, 9, 26, 13], [32, 46, 17, 4, 39, 38]],
}


@pytest.mark.parametrize("sampler", GOLDEN, ids=str)
def test_golden_draws_of_a_seed(sampler):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 64, generator=generator) * 2 for _ in range(6)]
    generators = [torch.Generator().manual_seed(seed) for seed in (11, 12)]
    drawn = torch.stack([sampler.choose(one, generators) for one in logits], dim=1)
    assert drawn.tolist() == GOLDEN[sampler]
