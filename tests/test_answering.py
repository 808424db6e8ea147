"""Many samples through one running batch: how many steps that takes, what is opened when, and what comes of each."""

import pytest
import torch
from PIL import Image

from ojito.answering import Answer
from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, PrefixCache, Temperature
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import ImageError, Processor, RowError, Tokenizer, TooLongError
from ojito.records import Sample


@pytest.fixture
def pipe():
    """A model that never ends an answer by itself, and says other things about other questions."""
    config = ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=64, width=32, layers=1, heads=2, mlp_dim=64, max_positions=96),
    )
    processing = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
    tokenizer = Tokenizer.train(processing.tokenizer, ["abcdefghijklmnopqrstuvwxyz \n"], 64)
    tokenizer.ends = (-1,)
    torch.manual_seed(0)
    model = VLM(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(4 if parameter.ndim > 1 else 1)
    return Pipeline(model, Processor.for_model(processing, tokenizer, config))


@pytest.fixture
def read(monkeypatch, pipe):
    """The images that were read, and the shapes of what the decoder read: rows and positions."""
    images, shapes = [], []
    read_image, features = Processor.read_image, VLM.features
    monkeypatch.setattr(Processor, "read_image", lambda self, one: images.append(one) or read_image(self, one))
    model = pipe.prepared()
    features = model.features
    monkeypatch.setattr(
        model,
        "features",
        lambda batch, cache, **last: shapes.append(tuple(batch.tokens.shape)) or features(batch, cache, **last),
    )
    return images, shapes


def image(number):
    generator = torch.Generator().manual_seed(number)
    return Image.fromarray(torch.randint(256, (16, 16, 3), generator=generator, dtype=torch.uint8).numpy())


def alone(pipe, samples, options):
    """What each sample is answered by itself, with nothing known of its images."""
    pipe.prefixes = PrefixCache(0)
    return [pipe.generate([sample], one)[0] for sample, one in zip(samples, options, strict=True)]


def samples_of(number):
    return [Sample([image(n)], "ab") for n in range(number)]


# ------------------------------------------------------------------------------------------------------ a full batch


def test_batch_stays_full_while_answers_differ_in_length(pipe, read):
    _, shapes = read
    # A batch of four that waits for its longest answer waits for one of 30 tokens every time.
    lengths = [30, 1, 2, 3] * 4
    samples, options = samples_of(16), [GenerateOptions(length, drafts=0) for length in lengths]

    def steps(run):
        shapes.clear()
        answers = run()
        return (
            answers,
            sum(positions == 1 for _, positions in shapes),
            sum(n for n, positions in shapes if positions > 1),
        )

    full, passes, prompts = steps(lambda: [*pipe.generate_each(samples, options, batch_size=4)])
    batches = [slice(start, start + 4) for start in range(0, 16, 4)]
    waiting, more, _ = steps(lambda: [one for some in batches for one in pipe.generate(samples[some], options[some])])
    assert [len(answer.tokens) for answer in full] == lengths
    assert more == 4 * 29
    assert passes <= 41
    assert prompts == 16
    assert full == waiting == alone(pipe, samples, options)


def test_answers_are_those_of_generate_in_any_batch(pipe):
    samples = [*samples_of(5), Sample(prompt="abc"), *samples_of(3)]
    expected = pipe.generate(samples, max_new_tokens=7, temperature=2.0, seed=5)
    assert len(set(expected)) == 9
    for batch_size in (1, 3, 32):
        options = {"max_new_tokens": 7, "temperature": 2.0, "seed": 5, "batch_size": batch_size}
        assert [*pipe.generate_each(iter(samples), **options)] == expected
        given = GenerateOptions(7, Temperature(2.0), seed=5)
        assert [*pipe.generate_each(samples, given, batch_size=batch_size)] == expected


def test_beams_are_searched_in_batches_of_their_own(pipe):
    samples = samples_of(6)
    options = [GenerateOptions(n, beams=beams) for n, beams in ((5, 1), (9, 1), (5, 3), (7, 3), (4, 2), (6, 1))]
    assert [*pipe.generate_each(samples, options, batch_size=2)] == alone(pipe, samples, options)


# ----------------------------------------------------------------------------------------------------- one by one


def test_samples_are_taken_and_their_images_opened_when_it_is_their_turn(pipe, read):
    opened, _ = read
    taken = []
    coming = (taken.append(sample) or sample for sample in samples_of(20))
    answers = pipe.generate_each(coming, max_new_tokens=2, batch_size=3)
    assert (len(taken), len(opened)) == (0, 0)
    for number, _ in enumerate(answers, 1):
        assert len(opened) <= min(20, number + 3)
        assert len(taken) <= min(20, number + 6)
    assert (len(taken), len(opened)) == (20, 20)


def test_answer_comes_as_soon_as_it_is_complete(pipe, read):
    _, shapes = read
    answers = pipe.generate_each(samples_of(2), [GenerateOptions(2), GenerateOptions(60)], batch_size=2)
    assert len(next(answers).tokens) == 2
    assert sum(positions == 1 for _, positions in shapes) == 1
    answers.close()
    assert sum(positions == 1 for _, positions in shapes) == 1


def test_model_is_as_it_was_once_nobody_waits_for_answers(pipe):
    pipe.model.train()
    answers = pipe.generate_each(samples_of(3), max_new_tokens=2, batch_size=1)
    next(answers)
    assert not pipe.model.training
    answers.close()
    assert pipe.model.training


def test_image_of_samples_that_follow_each_other_is_read_and_encoded_once(pipe, read, monkeypatch):
    opened, _ = read
    encoded, encode = [], pipe.prepared().encode
    monkeypatch.setattr(pipe.prepared(), "encode", lambda images: encoded.append(len(images)) or encode(images))
    images = [image(number) for number in range(3)]
    samples = [Sample([one], text) for one in images for text in ("a", "bc", "d", "ef", "g")]
    answers = [*pipe.generate_each(iter(samples), max_new_tokens=4, batch_size=2)]
    assert opened == images
    assert sum(encoded) == 3
    assert answers == alone(pipe, samples, [GenerateOptions(4)] * 15)


def test_images_of_one_sample_each_do_not_stay(pipe):
    list(pipe.generate_each(samples_of(5), max_new_tokens=2, batch_size=2))
    assert len(pipe.prefixes) == 0


# ------------------------------------------------------------------------------------------------- what cannot be asked


def test_sample_that_cannot_be_asked_yields_its_error_and_the_others_go_on(pipe):
    good = samples_of(4)
    bad = [Sample([b"no image"]), Sample([image(1)], "a" * 200), Sample("a.png")]
    mixed = [bad[0], good[0], good[1], bad[1], bad[2], good[2], good[3]]
    options = {"max_new_tokens": 5, "temperature": 2.0, "seed": 3}
    answers = [*pipe.generate_each(mixed, **options, batch_size=2)]
    assert [type(one) for one in answers] == [ImageError, Answer, Answer, TooLongError, RowError, Answer, Answer]
    # Those that cannot be asked take no random numbers from the others.
    assert [one for one in answers if isinstance(one, Answer)] == pipe.generate(good, **options)


def test_image_whose_sample_cannot_be_asked_is_not_kept(pipe, read):
    opened, _ = read
    shown = image(1)
    rows = [Sample([shown], "a" * 200), Sample([shown], "ab"), Sample([shown], "a" * 200)]
    too_long, answer, again = pipe.generate_each(rows, max_new_tokens=3)
    assert (type(too_long), type(again)) == (TooLongError, TooLongError)
    assert answer == pipe.generate([rows[1]], max_new_tokens=3)[0]
    assert opened[:-1] == [shown]


@pytest.mark.parametrize(
    ("samples", "options", "said"),
    [
        (Sample(prompt="a"), {}, r"write \[sample\]"),
        ([], {"batch_size": 0}, "batch_size: 0 answers nothing"),
        ([], {"max_new_tokens": 0}, "max_new_tokens: 0 generates nothing"),
        ([], {"stop": ["b<bos>"]}, "has a special token beside other text"),
    ],
)
def test_impossible_option_is_an_error_at_the_call(pipe, samples, options, said):
    with pytest.raises(OjitoError, match=said):
        pipe.generate_each(samples, **options)


def test_fewer_options_than_samples_are_an_error(pipe):
    with pytest.raises(OjitoError, match="options: end before the samples do; give one for each"):
        list(pipe.generate_each(samples_of(2), [GenerateOptions(2)]))


@pytest.mark.parametrize("several", [lambda pipe: [*pipe.generate_each(["a.jpg"])], lambda pipe: pipe.generate([{}])])
def test_what_is_no_sample_is_named(pipe, several):
    with pytest.raises(OjitoError, match=r"samples: hold a (str|dict) where a Sample is expected; write ojito.Sample"):
        several(pipe)
