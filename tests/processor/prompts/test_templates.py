"""Templates of chats, system messages, and texts that are joined before they are tokenized."""

from dataclasses import replace

import pytest

from ojito.config import PromptConfig, TokenizerConfig
from ojito.processor import RowError, Tokenizer
from ojito.processor.prompts import RowWriter
from ojito.records import IGNORE, Sample, Turn
from ojito.settings import ConfigError, read
from tests.processor.prompts.drawn import BLIND, CHAT, INLINE, SYSTEM, TWO, draw, write


def test_user_changes_output():
    assert draw(TWO, replace(CHAT, user="u"))[:3] == ["ii^uqr|ab$us|d$", "......ab$...d$.", "xxxxxxx........"]
    assert draw(TWO, replace(BLIND, user="u"))[0] == "ii^uqr|ab$us|d$"


def test_before_answer_is_learned_with_the_answer():
    config = replace(CHAT, before_answer=" ")
    assert draw(TWO, config)[:2] == ["ii^qr| ab$s| d$", "..... ab$.. d$."]
    assert draw(TWO, config, training=False)[0] == "ii^qr| ab$s|"


def test_after_answer_follows_every_end_and_is_not_learned():
    config = replace(CHAT, after_answer="gh")
    assert draw(TWO, config)[:2] == ["ii^qr|ab$ghs|d$gh", ".....ab$....d$..."]
    assert draw(TWO, config, training=False)[0] == "ii^qr|ab$ghs|"
    assert draw(TWO, replace(config, loss="all"))[1] == "..qr|ab$ghs|d$gh."
    assert draw(TWO, replace(config, turns="blind"))[::3] == ["ii^qr|ab$ghs|d$gh", "00011111111222222"]


def test_special_tokens_of_the_recipe_are_single_tokens_and_typed_ones_are_not():
    config = replace(CHAT, user="<user>u", separator="<end>|<user>", after_answer="<fake>", before_text="<x1y2>")
    assert draw(TWO, config)[0] == "ii^UuXqrE|Uab$FUuXsE|Ud$F"
    typed = Sample(turns=(Turn("<user>", ("<end>",)),))
    assert draw(typed, CHAT)[:2] == ["^<user>|<end>$", ".......<end>$."]


WORDS = Tokenizer.train(
    TokenizerConfig(special=("<user>", "<end>")), ["user: what? answer: red", "red", "what?"] * 9, 400
)

JOINED = PromptConfig(
    image="inline", user="user:", separator=" answer:", before_text=" ", before_answer=" ", joined=True
)


def words(sample, config, training=True):
    return RowWriter(config, WORDS, 2).write(sample, training)


@pytest.mark.parametrize(
    ("joined", "texts"), [(True, ["user: what? answer:"]), (False, ["user:", " ", "what?", " answer:"])]
)
def test_joined_changes_output(joined, texts):
    row = words(Sample(turns=(Turn("what?", ("red",)),)), replace(JOINED, joined=joined))
    assert row.tokens == [WORDS.bos, *(i for text in (*texts, " red") for i in WORDS.encode(text)), WORDS.eos]


@pytest.mark.parametrize("text", ["wh", "what?", " ", ""])
def test_joined_row_that_is_learned_begins_with_the_row_that_is_asked(text):
    for config in (JOINED, replace(JOINED, separator="", before_answer=""), replace(JOINED, after_answer="<end>u")):
        sample = Sample(["p"], turns=(Turn(text, ("at? red",)), Turn("what", ("?",))))
        learned, asked = words(sample, config), words(sample, config, training=False)
        assert learned.tokens[: len(asked.tokens)] == asked.tokens
        assert asked.targets == [IGNORE] * len(asked.tokens)


@pytest.mark.parametrize("images", [[], ["p"]])
@pytest.mark.parametrize("bos", [True, False])
def test_joined_blind_turn_alone_is_the_same_computation_as_packed(images, bos):
    config = replace(JOINED, image="front", turns="blind", bos=bos, after_answer="<end>user")
    turns = (Turn("what?", ("red",)), Turn("red?", ("what",)))
    packed, alone = words(Sample(images, turns=turns), config), words(Sample(images, turns=turns[1:]), config)
    shared = packed.segments.count(0)
    for name in ("tokens", "targets", "positions", "prefix"):
        begin = packed.segments.index(2)
        assert getattr(alone, name) == getattr(packed, name)[:shared] + getattr(packed, name)[begin:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_text": "<img>"}, r"^image_text: '<img>' must contain <image>"),
        ({"image_text": "<image><image>"}, r"^image_text: .* exactly once"),
        ({"tile": ""}, r"^tile: '' must contain <image>"),
        ({"before_answer": "A: "}, r"^before_answer: 'A: ' is more than white space; put words into separator"),
    ],
)
def test_templates_that_cannot_be_written_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PromptConfig(**settings)


def test_system_message_replaces_what_precedes_the_first_question():
    assert draw(TWO, SYSTEM)[0] == "ii^uqr|ab$us|d$"
    assert draw(replace(TWO, system="gh"), SYSTEM)[0] == "ii^UghEvqr|ab$us|d$"
    assert draw(TWO, replace(SYSTEM, system="gh"))[0] == "ii^UghEvqr|ab$us|d$"
    assert draw(replace(TWO, system="x"), replace(SYSTEM, system="gh"))[0] == "ii^UxEvqr|ab$us|d$"
    blind = replace(SYSTEM, turns="blind", system="x")
    assert draw(TWO, blind)[0] == "ii^UxEvqr|ab$UxEvs|d$"


def test_system_message_is_plain_text():
    assert draw(replace(TWO, system="<end>"), SYSTEM)[0].startswith("ii^U<end>Ev")


def test_system_message_is_refused_where_the_prompt_has_no_place_for_it():
    with pytest.raises(RowError, match="has the system message 'x', and this model was not trained with one"):
        write(replace(TWO, system="x"))
    with pytest.raises(ConfigError, match=r"^system: 'x' has no place in this prompt"):
        replace(CHAT, system="x")
    with pytest.raises(ConfigError, match=r"^user_with_system: 'x' must contain \{system\} exactly once"):
        replace(CHAT, user_with_system="x")


def test_trim_drops_the_white_space_around_every_text():
    turns = (Turn(" q <image> r\n", (" a\n",), tagged=True), Turn("\ns ", ("d",)))
    sample = Sample(["p"], turns=turns, system=" x ")
    inline = replace(SYSTEM, image="inline")
    assert draw(sample, replace(inline, trim=True))[0] == "^UxEvqiir|a$us|d$"
    assert draw(sample, inline)[0] == "^U x Ev q ii r\n| a\n$u\ns |d$"


def test_after_images_stands_between_the_images_and_the_words_of_a_question():
    config = replace(INLINE, after_images="x")
    assert draw(TWO, config)[0] == "^iixqr|ab$s|d$"
    assert draw(replace(TWO, images=["p", "q"]), config)[0] == "^iiiixqr|ab$s|d$"
    assert draw(Sample(["p"], "q<image>r"), config, training=False)[0] == "^qiir|"


def test_old_names_of_settings_are_read():
    read_now = read(PromptConfig, {"picture": "g<image>", "picture_number": "x"}, "processor.prompt")
    assert (read_now.image_text, read_now.image_number) == ("g<image>", "x")
    with pytest.raises(ConfigError, match=r"^processor\.prompt\.picture: is an old name of image_text"):
        read(PromptConfig, {"picture": "<image>", "image_text": "<image>"}, "processor.prompt")
