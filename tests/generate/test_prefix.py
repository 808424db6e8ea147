import dataclasses

import pytest
import torch
from PIL import Image

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, PrefixCache, Scheduler, generate, prefill
from ojito.generate.prefix import find_beginning
from ojito.model import KVCache
from ojito.records import IMAGE, Sample, Turn

EOS = 2
TEXTS = ("which colour is it", "it", "a colour", "is it a")
SHARING = {
    "causal": {},
    "causal in a window": {"window": 5},
    "learned positions": {"positions": "learned"},
    "image": {"mask": "image"},
    "image in a window": {"mask": "image", "window": 6},
}


def picture(seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy()
    return Image.fromarray(pixels)


@pytest.fixture
def met(monkeypatch, reads):
    """Records what a model encodes (numbers of images) and what it reads (shapes)."""

    def record(model):
        encoded, encode = [], model.encode
        monkeypatch.setattr(model, "encode", lambda images: encoded.append(len(images)) or encode(images))
        return encoded, reads(model)

    return record


def ask(scheduler, processor, samples, **options):
    each = [scheduler.submit(processor([sample]), GenerateOptions(6, drafts=0, **options)) for sample in samples]
    scheduler.run()
    return [request.answer for request in each]


def fresh(model, processor, samples):
    return [generate(model, processor([one]), GenerateOptions(6, drafts=0), eos=EOS)[0] for one in samples]


def read_prompt(model, batch, length):
    """What a cache holds of the first tokens of a row that was read whole."""
    cache = KVCache(model.config.decoder, 1, batch.tokens.shape[1])
    with torch.inference_mode():
        model.features(batch, cache)
    return cache.columns(0, slice(length)).copy()


# ---------------------------------------------------------------------------------------------- what the masks allow


@pytest.mark.parametrize("decoder", SHARING)
def test_keys_of_a_beginning_are_the_same_whatever_follows(sharp, tiny_processor, decoder):
    model = sharp(**SHARING[decoder])
    one, other = (tiny_processor([Sample([picture(1), picture(2)], text)]) for text in TEXTS[:2])
    length = find_beginning(one, model.config.decoder.mask).length
    assert one.tokens[0, length - 1] == IMAGE
    assert IMAGE not in one.tokens[0, length:]
    first, second = read_prompt(model, one, length), read_prompt(model, other, length)
    torch.testing.assert_close(first.keys, second.keys, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.values, second.values, atol=1e-5, rtol=0)


def test_keys_of_a_prefix_that_reads_the_question_are_others_and_not_kept(sharp, tiny_processor):
    model = sharp(mask="prefix")
    one, other = (tiny_processor([Sample([picture(1)], text)]) for text in TEXTS[:2])
    first, second = read_prompt(model, one, 4), read_prompt(model, other, 4)
    assert (first.values - second.values).abs().max() > 1e-2
    assert find_beginning(one, "prefix").length == 0
    assert len(find_beginning(one, "prefix").images) == 1


@pytest.mark.parametrize("decoder", SHARING)
@pytest.mark.parametrize("images", [1, 2])
def test_logits_after_a_known_beginning_are_those_of_the_whole_row(sharp, tiny_processor, decoder, images):
    model = sharp(**SHARING[decoder])
    shown = [picture(number) for number in range(images)]
    known = tiny_processor([Sample(shown, TEXTS[0])])
    length = find_beginning(known, model.config.decoder.mask).length
    columns = read_prompt(model, known, length)
    # Two rows of unequal rests at once, so that one of them is padded between what it knows and what it reads.
    batch = tiny_processor([Sample(shown, text) for text in TEXTS[1:3]])
    whole = prefill(model, batch, eos=EOS)
    rest = prefill(model, batch, eos=EOS, known=[columns] * 2)
    assert rest.running[0].gap == slice(length, length + 6)
    with torch.inference_mode():
        torch.testing.assert_close(model.head(rest.hidden), model.head(whole.hidden), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("decoder", [*SHARING, "prefix"])
def test_answers_about_one_image_are_those_of_fresh_calls(sharp, tiny_processor, decoder):
    model = sharp(**SHARING.get(decoder, {"mask": "prefix"}))
    samples = [Sample([picture(number % 2)], text) for text in TEXTS for number in range(2)]
    samples += [Sample([picture(0), picture(1)], "it"), Sample([picture(1), picture(0)], "it"), Sample(prompt="it")]
    expected = fresh(model, tiny_processor, samples)
    assert len({tuple(answer.tokens) for answer in expected}) > 4
    for rows in (1, 3, 16):
        scheduler = Scheduler(model, eos=EOS, rows=rows, prefixes=PrefixCache())
        assert ask(scheduler, tiny_processor, samples) == expected
        assert ask(scheduler, tiny_processor, samples) == expected


def test_blind_turns_know_the_image_that_they_share(tiny_model, tiny_processor):
    samples = [Sample([picture(1)], turns=(Turn("a", ("b",)), Turn(text))) for text in TEXTS]
    scheduler = Scheduler(tiny_model, eos=EOS, rows=2, prefixes=PrefixCache())
    assert ask(scheduler, tiny_processor, samples) == fresh(tiny_model, tiny_processor, samples)


# ------------------------------------------------------------------------------------------------- what is not done


def test_image_is_encoded_and_read_once_for_questions_in_one_batch(tiny_model, tiny_processor, met):
    encoded, read = met(tiny_model)
    samples = [Sample([picture(1)], text) for text in TEXTS]
    ask(Scheduler(tiny_model, eos=-1, rows=4, prefixes=PrefixCache()), tiny_processor, samples)
    assert encoded == [1]
    longest, rest = (max(tiny_processor([one]).tokens.shape[1] for one in some) for some in (samples[:1], samples[1:]))
    length = find_beginning(tiny_processor(samples[:1]), "causal").length
    assert read == [(1, longest), (3, rest - length), *[(4, 1)] * 5]


def test_image_is_encoded_and_read_once_for_one_question_after_another(tiny_model, tiny_processor, met):
    encoded, read = met(tiny_model)
    prefixes = PrefixCache()
    for text in TEXTS:
        ask(Scheduler(tiny_model, eos=-1, prefixes=prefixes), tiny_processor, [Sample([picture(1)], text)])
    assert encoded == [1]
    assert [shape[1] for shape in read if shape[1] > 1][1:] == [len(text) + 2 for text in TEXTS[1:]]


def test_image_is_encoded_once_where_the_question_is_part_of_the_prefix(sharp, tiny_processor, met):
    model = sharp(mask="prefix")
    encoded, _ = met(model)
    prefixes = PrefixCache()
    for number in (1, 1, 2):
        samples = [Sample([picture(number)], text) for text in TEXTS]
        ask(Scheduler(model, eos=-1, prefixes=prefixes), tiny_processor, samples)
    assert encoded == [1, 1]


def test_row_that_is_not_kept_is_read_again(tiny_model, tiny_processor, met):
    encoded, _ = met(tiny_model)
    prefixes = PrefixCache()
    for _ in range(2):
        scheduler = Scheduler(tiny_model, eos=-1, prefixes=prefixes)
        for text in TEXTS:  # shared within a batch nevertheless
            scheduler.submit(tiny_processor([Sample([picture(1)], text)]), keep=False)
        scheduler.run()
    assert encoded == [1, 1]
    assert len(prefixes) == 0


# ----------------------------------------------------------------------------------------------------------- the key


def test_beginning_is_known_by_its_images_and_the_tokens_before_them(tiny_processor):
    def key(*images, before=0, mask="causal"):
        batch = tiny_processor([Sample([*images], "it")])
        batch.tokens[0, 0] = before if before else batch.tokens[0, 0]
        return find_beginning(batch, mask).key

    one = key(picture(1))
    assert one == key(picture(1))
    assert len({one, key(picture(2)), key(picture(1), before=9), key(picture(1), picture(2)), key()}) == 5
    assert key(picture(1), picture(2)) != key(picture(2), picture(1))


def test_row_that_ends_with_its_image_has_no_beginning(tiny_processor):
    batch = tiny_processor([Sample([picture(1)], "it")])
    last = int((batch.tokens[0] == IMAGE).nonzero()[-1])
    names = ("tokens", "positions", "segments", "prefix", "targets")
    cut = dataclasses.replace(batch, **{name: getattr(batch, name)[:, : last + 1] for name in names})
    assert find_beginning(cut, "causal").length == 0


def test_what_comes_as_patches_is_not_kept(tiny_processor):
    batch = tiny_processor([Sample([picture(1)], "it")])
    batch.images, batch.patches = None, torch.zeros(1, 4, 32)
    assert find_beginning(batch, "causal").length == 0


# --------------------------------------------------------------------------------------------------------- the bound


def test_least_recently_used_leaves_when_there_are_too_many_bytes():
    cache = PrefixCache(max_bytes=300)
    a, b, c = (torch.full((25,), number, dtype=torch.float32) for number in range(3))
    for key, value in ((b"a", a), (b"b", b), (b"c", c)):
        cache.put(key, value)
    assert (len(cache), cache.nbytes) == (3, 300)
    assert cache.visual(b"a") is a
    cache.put(b"d", a)
    assert cache.visual(b"b") is None
    assert (cache.visual(b"a"), cache.visual(b"c")) == (a, c)
    cache.put(b"a", b)
    assert (cache.visual(b"a"), cache.nbytes) == (b, 300)
    assert cache.columns(b"a") is None
    cache.put(b"e", torch.zeros(76))  # larger than all by itself: nothing makes room for it
    assert (cache.visual(b"e"), len(cache)) == (None, 3)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_cache_is_bounded_over_many_images(tiny_model, tiny_processor):
    prefixes = PrefixCache(max_bytes=6_000)
    for number in range(9):
        ask(Scheduler(tiny_model, eos=-1, prefixes=prefixes), tiny_processor, [Sample([picture(number)], "it")])
        assert 0 < prefixes.nbytes <= 6_000
    assert 1 < len(prefixes) < 18
    with pytest.raises(OjitoError, match="max_bytes: -1 is less than nothing"):
        PrefixCache(-1)


def test_cache_without_room_shares_within_a_batch_alone(tiny_model, tiny_processor, met):
    encoded, _ = met(tiny_model)
    prefixes = PrefixCache(0)
    for _ in range(2):
        samples = [Sample([picture(1)], text) for text in TEXTS]
        ask(Scheduler(tiny_model, eos=-1, prefixes=prefixes), tiny_processor, samples)
    assert encoded == [1, 1]
    assert prefixes.nbytes == 0


# ---------------------------------------------------------------------------------------------------- other weights


def test_cache_is_forgotten_when_the_weights_change(tiny_model, tiny_processor):
    prefixes, sample = PrefixCache(), Sample([picture(1)], "it")
    changes = [
        lambda: torch.nn.init.normal_(tiny_model.decoder.blocks[0].attention.k.weight),
        lambda: tiny_model.load_state_dict({k: v * 2 for k, v in tiny_model.state_dict().items()}),
        tiny_model.double,
    ]
    for change in changes:
        ask(Scheduler(tiny_model, eos=EOS, prefixes=prefixes), tiny_processor, [sample])
        assert len(prefixes) == 2
        assert prefixes.follow(tiny_model)
        assert len(prefixes) == 2
        change()
        assert prefixes.follow(tiny_model)
        assert len(prefixes) == 0


def test_cache_is_one_models(tiny_model, sharp, tiny_processor):
    prefixes = PrefixCache()
    ask(Scheduler(tiny_model, eos=EOS, prefixes=prefixes), tiny_processor, [Sample([picture(1)], "it")])
    prefixes.follow(sharp())
    assert len(prefixes) == 0


def test_rows_that_join_after_the_weights_changed_are_answered_anew(tiny_model, tiny_processor):
    scheduler, sample = Scheduler(tiny_model, eos=EOS, prefixes=PrefixCache()), Sample([picture(1)], "it")
    ask(scheduler, tiny_processor, [sample])
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    assert ask(scheduler, tiny_processor, [sample]) == fresh(tiny_model, tiny_processor, [sample])


def test_models_that_share_a_cache_do_not_share_what_is_in_it(sharp, tiny_processor):
    prefixes, samples = PrefixCache(), [Sample([picture(1)], "it")]
    models = [sharp(seed) for seed in range(4)]
    schedulers = [Scheduler(model, eos=EOS, prefixes=prefixes) for model in models]
    for _ in range(2):
        for model, scheduler in zip(models, schedulers, strict=True):
            assert ask(scheduler, tiny_processor, samples) == fresh(model, tiny_processor, samples)


def test_cache_is_not_used_while_a_module_has_hooks(tiny_model, tiny_processor):
    prefixes, seen = PrefixCache(), []
    ask(Scheduler(tiny_model, eos=EOS, prefixes=prefixes), tiny_processor, [Sample([picture(1)], "it")])
    tap = tiny_model.decoder.blocks[0].attention.weights
    hook = tap.register_forward_hook(lambda module, args, weights: seen.append(weights.shape[2]))
    for _ in range(2):
        ask(Scheduler(tiny_model, eos=EOS, prefixes=prefixes), tiny_processor, [Sample([picture(1)], "it")])
    assert [length for length in seen if length > 1] == [
        tiny_processor([Sample([picture(1)], "it")]).tokens.shape[1]
    ] * 2
    assert len(prefixes) == 0
    hook.remove()
    assert prefixes.follow(tiny_model)
    scheduler = Scheduler(tiny_model, eos=EOS, prefixes=prefixes)
    ask(scheduler, tiny_processor, [Sample([picture(1)], "it")])
    tap.register_forward_hook(lambda module, args, weights: seen.append(weights.shape[2]))
    seen.clear()
    ask(scheduler, tiny_processor, [Sample([picture(1)], "it")] * 2)
    assert seen[0] == tiny_processor([Sample([picture(1)], "it")]).tokens.shape[1]
