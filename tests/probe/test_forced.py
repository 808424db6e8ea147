import dataclasses

import pytest
import torch

from ojito.config import Config, ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.errors import OjitoError
from ojito.probe.forced import answer_logits, force, force_turn, log_probability
from ojito.processor import RowError
from ojito.records import IGNORE, Sample, Turn
from tests.noise import noise
from tests.pipeline.toy import CONFIG, make

PROMPTS = {
    "chat": PromptConfig(),
    "blind": PromptConfig(turns="blind", answers="all", bos=False, separator="|"),
    "space before the answer, end of turn": PromptConfig(before_answer=" ", after_answer="!", image="inline"),
    "questions are learned": PromptConfig(loss="all"),
}


def with_prompt(prompt):
    processor = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"), prompt=prompt)
    return make(dataclasses.replace(CONFIG, processor=processor))


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_logits_are_those_of_training(prompt, image):
    pipe = with_prompt(prompt)
    forced = force(pipe.processor, image, "what?", "a kite")
    learned = pipe.processor([Sample([image], turns=(Turn("what?", ("a kite",)),))], training=True)
    with torch.no_grad():
        logits = answer_logits(pipe.model, forced.batch(pipe.processor), forced)[0]
        expected = pipe.model(learned)[0]
    begin = len(forced.row.tokens) - len(forced.tokens)
    torch.testing.assert_close(logits, expected[begin : begin + len(forced.tokens)])
    assert learned.targets[0, begin : begin + len(forced.tokens)].tolist() == list(forced.tokens)
    assert forced.text == "a kite"


def test_answer_may_be_the_tokens_that_were_generated(pipe, image):
    answer = pipe.ask(image, "what?", max_new_tokens=5)
    forced = force(pipe.processor, image, "what?", answer.tokens)
    assert forced.text == answer.text
    with torch.no_grad():
        logits = answer_logits(pipe.model, forced.batch(pipe.processor), forced)[0]
    assert tuple(logits[:, : pipe.processor.tokenizer.size].argmax(dim=-1).tolist()) == answer.tokens


def test_question_changes_the_row(pipe, image):
    rows = [force(pipe.processor, image, prompt, "kite").row.tokens for prompt in ("", "what?")]
    assert rows[0] != rows[1]


def test_log_probability_is_the_sum_over_the_tokens_of_a_word(pipe, forced):
    batch = forced.batch(pipe.processor)
    with torch.no_grad():
        logits = answer_logits(pipe.model, batch, forced)
    logs = logits[0].log_softmax(dim=-1)
    expected = sum(logs[i, forced.tokens[i]] for i in range(4, 8))  # "red kite"[4:8]
    torch.testing.assert_close(log_probability(logits, forced, forced.find("kite"))[0], expected)


def test_batch_shows_the_answer_with_other_images(pipe, forced):
    other = pipe.processor.read_image(noise((16, 16), seed=2))
    batch = forced.batch(pipe.processor, [*forced.row.images, other])
    assert batch.tokens.tolist() == [forced.row.tokens] * 2
    assert torch.equal(batch.images[:1], forced.batch(pipe.processor).images)
    assert not torch.equal(batch.images[0], batch.images[1])
    assert (batch.targets == IGNORE).all()


def test_words_know_their_tokens(pipe, image):
    forced = force(pipe.processor, image, "", "a red-hot kite, so!")
    assert [word.text for word in forced.words] == ["a", "red-hot", "kite", ",", "so", "!"]
    assert [word.tokens for word in forced.words[:3]] == [(0,), tuple(range(2, 9)), (10, 11, 12, 13)]


def test_tokens_of_several_words_and_of_parts_of_characters_belong_to_their_words(image):
    pipe = make(kind="bpe")  # of bytes, where é is two tokens
    forced = force(pipe.processor, image, "", "né cat")
    né, cat = forced.words
    assert (né.text, cat.text) == ("né", "cat")
    assert pipe.processor.decode([forced.tokens[i] for i in né.tokens]).strip() == "né"
    phrase = dataclasses.replace(forced, tokens=(1,), ends=(len(forced.text),))
    assert [word.tokens for word in phrase.words] == [(0,), (0,)]


@pytest.mark.parametrize(
    ("text", "tokens"), [("kite", (4, 5, 6, 7)), (" RED ", (0, 1, 2)), ("red kite", tuple(range(8)))]
)
def test_word_is_found_whatever_its_case(forced, text, tokens):
    assert forced.find(text).tokens == tokens


@pytest.mark.parametrize("text", ["dog", "kit", "", "ed"])
def test_word_that_is_not_in_the_answer_is_refused(forced, text):
    with pytest.raises(OjitoError, match="is not in the answer 'red kite'; choose from red, kite"):
        forced.find(text)


def test_empty_answer_is_refused(pipe, image):
    with pytest.raises(OjitoError, match="answer: is empty"):
        force(pipe.processor, image, "", [])
    with pytest.raises(RowError, match="has an empty answer"):
        force(pipe.processor, image, "", " ")


def test_image_positions_are_those_of_the_visual_tokens(image):
    pipe = make(Config(model=CONFIG.model, processor=dataclasses.replace(CONFIG.processor, prompt=PROMPTS["chat"])))
    assert force(pipe.processor, image, "what?", "kite").image_positions == [0, 1, 2, 3]


@pytest.mark.parametrize("turns", ["chat", "blind"])
def test_turn_of_a_dialogue_is_written_as_training_writes_it(image, turns):
    pipe = with_prompt(PromptConfig(turns=turns))
    before = Turn("what?", ("a kite",))
    learned = pipe.processor.row(Sample([image], turns=(before, Turn("how high?", ("high",)))), training=True)
    for sample in (Sample([image], turns=(before, Turn("how high?"))),
                   Sample([image], turns=(before, Turn("how high?", ("low", "lower"))))):  # fmt: skip
        forced = force_turn(pipe.processor, sample, "high")
        assert forced.text == "high"
        if turns == "chat":
            assert forced.row.tokens == learned.tokens[: len(forced.row.tokens)]
        else:
            assert forced.row.tokens == force(pipe.processor, image, "how high?", "high").row.tokens


def test_turn_about_several_images_is_refused(pipe, image):
    with pytest.raises(OjitoError, match="is about 2 images; look at one at a time"):
        force_turn(pipe.processor, Sample([image, image], "what?"), "kite")
