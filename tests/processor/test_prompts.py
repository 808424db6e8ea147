"""Rows are drawn: a letter is a token, `i` an image place, `^` bos, `$` eos, `|` the separator, `.` no target."""

import random
from dataclasses import replace

import pytest

from ojito.config import PromptConfig, TokenizerConfig
from ojito.processor import RowError, Tokenizer, texts
from ojito.processor.prompts import RowWriter, check_typed, without_tags
from ojito.records import IGNORE, IMAGE, Sample, Turn
from ojito.settings import ConfigError, read

SPECIAL = {"<user>": "U", "<end>": "E", "<fake>": "F", "<x1y2>": "X"}  # and how they are drawn
CHARACTERS = Tokenizer.train(
    TokenizerConfig(kind="characters", special=tuple(SPECIAL)), ["abcdefghnqrstuvxy0123456789 |<image>\n"], 100
)
CHAT = PromptConfig(separator="|", caption="c")
BLIND = replace(CHAT, turns="blind")
QA = Turn("qr", ("ab",))
TWO = Sample(["p"], turns=(QA, Turn("s", ("d", "ef"))))


def drawn(ids):
    names = {IMAGE: "i", IGNORE: ".", CHARACTERS.bos: "^", CHARACTERS.eos: "$"}
    names |= {CHARACTERS.parse(token)[0]: letter for token, letter in SPECIAL.items()}
    return "".join(names.get(i) or CHARACTERS.decode([i]) for i in ids)


def write(sample, config=CHAT, training=True, image_tokens=2, rng=None, grids=()):
    return RowWriter(config, CHARACTERS, image_tokens).write(sample, training, rng, grids)


def draw(sample, config=CHAT, **options):
    row = write(sample, config, **options)
    marks = "".join("x" if p else "." for p in row.prefix)
    digits = ("".join(map(str, numbers)) for numbers in (row.segments, row.positions))
    return [drawn(row.tokens), drawn(row.targets), marks, *digits]


def test_one_turn_labels_its_answer_and_eos():
    assert draw(Sample(["p"], turns=(QA,))) == [
        "ii^qr|ab$",
        ".....ab$.",
        "xxxxxx...",
        "000000000",
        "012345678",
    ]


def test_chat_reads_earlier_turns_and_only_the_first_question_is_prefix():
    assert draw(TWO) == [
        "ii^qr|ab$s|d$",
        ".....ab$..d$.",
        "xxxxxx.......",
        "0000000000000",
        "0123456789101112",
    ]


def test_blind_turns_count_on_from_the_image_each_in_its_own_segment():
    assert draw(TWO, BLIND) == [
        "ii^qr|ab$s|d$",
        ".....ab$..d$.",
        "xxxxxx...xx..",
        "0001111112222",
        "0123456783456",
    ]


def test_blind_turn_alone_is_the_same_computation_as_packed():
    alone = write(replace(TWO, turns=TWO.turns[1:]), BLIND)
    packed = write(TWO, BLIND)
    for name in ("tokens", "targets", "positions", "prefix"):
        values = getattr(packed, name)
        assert getattr(alone, name) == values[:3] + values[9:]


def test_generation_ends_where_the_last_answer_begins():
    assert draw(TWO, training=False)[:2] == ["ii^qr|ab$s|", "..........."]


def test_generation_writes_only_the_last_blind_turn():
    assert draw(TWO, BLIND, training=False) == ["ii^s|", ".....", "xxxxx", "00011", "01234"]


def test_training_row_begins_with_the_generation_row():
    for config in (CHAT, BLIND, replace(CHAT, loss="all")):
        sample = Sample(["p"], turns=(QA,))
        learned, asked = write(sample, config), write(sample, config, training=False)
        for name in ("tokens", "positions", "segments", "prefix"):
            assert getattr(learned, name)[: len(asked.tokens)] == getattr(asked, name)


def test_every_target_is_the_next_token_of_its_segment():
    for config in (CHAT, BLIND, replace(CHAT, loss="all"), replace(BLIND, loss="all")):
        row = write(TWO, config)
        for place, target in enumerate(row.targets):
            if target != IGNORE:
                assert target == row.tokens[place + 1]
                assert row.segments[place] == row.segments[place + 1]
                assert row.positions[place] + 1 == row.positions[place + 1]
                assert not row.prefix[place + 1]  # a prefix-LM must not see what it is to predict


def test_loss_all_labels_the_questions_and_takes_them_out_of_the_prefix():
    assert draw(TWO, replace(CHAT, loss="all"))[1:3] == ["..qr|ab$s|d$.", "xxx.........."]
    # the first token of a blind question follows the image, which has no room for a target of each turn
    assert draw(TWO, replace(BLIND, loss="all"))[1:3] == ["...r|ab$.|d$.", "xxx.........."]


def test_bos_changes_output():
    assert draw(TWO, replace(CHAT, bos=False))[0] == "iiqr|ab$s|d$"


def test_separator_changes_output():
    assert draw(TWO, replace(CHAT, separator="gh"))[0] == "ii^qrghab$sghd$"
    assert draw(TWO, replace(CHAT, separator=""))[:2] == ["ii^qrab$sd$", "....ab$.d$."]


def test_caption_changes_output():
    sample = Sample(["p"], turns=(Turn("", ("ab",)),))
    assert draw(sample)[0] == "ii^c|ab$"
    assert draw(sample, replace(CHAT, caption="gh"))[0] == "ii^gh|ab$"


def test_image_tokens_changes_output():
    assert draw(TWO, image_tokens=4)[0] == "iiii^qr|ab$s|d$"


def test_images_stand_in_front_as_many_as_there_are():
    assert draw(Sample([], turns=(QA,)))[0] == "^qr|ab$"
    assert draw(Sample(["p", "q", "r"], turns=(QA,)))[0] == "iiiiii^qr|ab$"


def test_front_leaves_tags_of_data_out():
    assert draw(Sample(["p"], turns=(Turn("<image>\nqr", ("ab",), tagged=True),)))[0] == "ii^qr|ab$"
    assert [without_tags(text) for text in ("<image>\na", "a\n<image>", "a <image> b", "<image>")] == [
        "a",
        "a",
        "a  b",
        "",
    ]


INLINE = replace(CHAT, image="inline")


def test_question_that_is_a_mark_alone_asks_for_a_caption():
    row = Sample(["p"], turns=(Turn("<image>", ("ab",), tagged=True),))
    assert draw(row)[0] == "ii^c|ab$"
    assert next(texts([row], CHAT)) == "c"


def test_all_answers_are_blind_turns_of_their_own():
    every = replace(BLIND, answers="all")
    assert draw(TWO, every) == [
        "ii^qr|ab$s|d$s|ef$",
        ".....ab$..d$..ef$.",
        "xxxxxx...xx..xx...",
        "000111111222233333",
        "012345678345634567",
    ]
    assert draw(TWO, every, training=False) == draw(TWO, BLIND, training=False)
    with pytest.raises(RowError, match=r"turn 1 .* has an empty answer"):
        write(Sample(["p"], turns=(Turn("q"),)), every)


def test_blind_turns_without_a_separator_answer_from_the_end_of_the_question():
    assert draw(TWO, replace(BLIND, separator=""))[:2] == ["ii^qrab$sd$", "....ab$.d$."]


def test_inline_writes_images_where_the_text_marks_them():
    sample = Sample(["p", "q"], turns=(Turn("q<image>r<image>", ("a",)), Turn("s", ("d",))))
    assert draw(sample, INLINE)[:3] == ["^qiirii|a$s|d$", ".......a$..d$.", "xxxxxxxx......"]


def test_inline_images_are_never_learned():
    sample = Sample(["p"], turns=(Turn("q<image>r", ("a",)),))
    assert draw(sample, replace(INLINE, loss="all"))[:2] == ["^qiir|a$", "q..r|a$."]


def test_inline_image_of_a_later_turn_is_no_prefix():
    sample = Sample(["p"], turns=(Turn("q", ("a",)), Turn("<image>s", ("d",), tagged=True)))
    assert draw(sample, INLINE)[::2][:2] == ["^q|a$iis|d$", "xxx........"]


def test_inline_without_tags_puts_images_before_the_words_of_the_first_question():
    assert draw(TWO, INLINE)[:3] == ["^iiqr|ab$s|d$", ".....ab$..d$.", "xxxxxx......."]
    user = replace(INLINE, user="u")
    assert draw(replace(TWO, images=["p", "q"]), user)[0] == "^uiiiiqr|ab$us|d$"
    assert draw(Sample(["p"]), user, training=False)[0] == "^uiic|"
    assert draw(Sample(["p"], "<image>"), user, training=False)[0] == "^uiic|"
    assert draw(Sample([], "q"), user, training=False)[0] == "^uq|"


@pytest.mark.parametrize("images", [[], ["p"], ["p", "q", "r"]])
def test_inline_marks_that_do_not_fit_the_images_are_refused(images):
    sample = Sample(images, turns=(Turn("<image>q<image>", ("a",), tagged=True),), origin="rows:7")
    with pytest.raises(RowError, match=f"rows:7: the text has 2 <image> tags, and there are {len(images)} images"):
        write(sample, INLINE)


def test_rng_draws_one_of_the_answers_reproducibly():
    sample = Sample([], turns=(Turn("q", ("a", "b", "d")),))
    rows = [draw(sample, rng=random.Random(seed))[0] for seed in range(30)]
    assert set(rows) == {"^q|a$", "^q|b$", "^q|d$"}
    assert rows == [draw(sample, rng=random.Random(seed))[0] for seed in range(30)]
    assert draw(sample)[0] == "^q|a$"


@pytest.mark.parametrize(("answers", "problem"), [((), "has no answer"), (("",), "an empty"), ((" \n",), "an empty")])
def test_turn_without_an_answer_is_refused_in_training(answers, problem):
    sample = Sample(["p"], turns=(QA, Turn("s", answers)), origin="rows:7")
    with pytest.raises(RowError, match=rf"^rows:7: turn 2 \('s'\) .*{problem}.*; give it one"):
        write(sample)
    assert write(sample, training=False)


def test_earlier_chat_turn_needs_its_answer_in_generation_too():
    sample = Sample(["p"], turns=(Turn("q"), Turn("s")))
    with pytest.raises(RowError, match="turn 1"):
        write(sample, training=False)
    assert write(sample, BLIND, training=False)


def test_max_tokens_counts_text_and_not_images():
    config = replace(CHAT, max_tokens=7)
    assert write(Sample(["p"] * 5, turns=(QA,)), config)
    with pytest.raises(
        RowError, match=r"sample: has 11 tokens of text, more than processor.prompt.max_tokens 7; shorten"
    ):
        write(TWO, config)


def test_more_places_than_positions_are_refused_by_name():
    sample = Sample(["p"] * 3, turns=(QA,), origin="rows:9")
    assert RowWriter(CHAT, CHARACTERS, 2, max_positions=13).write(sample, training=True)
    message = "^rows:9: needs 13 positions, 2 for each of 3 images, and the decoder has 12; use fewer"
    with pytest.raises(RowError, match=message):
        RowWriter(CHAT, CHARACTERS, 2, max_positions=12).write(sample, training=True)
    # iiiiii^qr| and one token of an answer
    assert RowWriter(CHAT, CHARACTERS, 2, max_positions=11).write(sample, training=False)
    with pytest.raises(RowError, match="needs 11 positions"):
        RowWriter(CHAT, CHARACTERS, 2, max_positions=10).write(sample, training=False)


@pytest.mark.parametrize("image_tokens", [0, 2])
def test_text_alone_that_is_longer_than_the_decoder_is_refused(image_tokens):
    with pytest.raises(RowError, match=r"^rows:9: needs 7 positions, and the decoder has 6; use less text$"):
        RowWriter(CHAT, CHARACTERS, image_tokens, max_positions=6).write(Sample(turns=(QA,), origin="rows:9"), True)


def test_blind_turns_need_the_positions_of_the_longest_alone():
    assert RowWriter(BLIND, CHARACTERS, 2, max_positions=9).write(TWO, training=True)


def test_row_that_begins_with_what_is_learned_keeps_its_labels():
    row = Sample(turns=(QA,))
    assert draw(row, replace(CHAT, loss="all", bos=False))[:2] == ["qr|ab$", "r|ab$."]


def test_row_of_nothing_is_refused():
    with pytest.raises(RowError, match="neither image nor text"):
        write(Sample(), replace(CHAT, caption="", separator="", bos=False), training=False)


def test_texts_are_all_that_the_model_reads_and_writes():
    samples = [Sample(["p"], turns=(Turn("", ("a", "b")), Turn("<image>\nq", ("d",))))]
    assert list(texts(samples, CHAT)) == ["c", "|", "a", "b", "q", "|", "d"]
    chat = replace(CHAT, user="u", before_answer=" ")
    assert list(texts(samples, chat)) == ["u", "c", "|", " a", " b", "u", "q", "|", " d"]
    assert list(texts(samples, replace(chat, joined=True))) == ["uc|", " a", " b", "uq|", " d"]


# -------------------------------------------------------------------------------------------------- templates of chats


def test_user_changes_output():
    assert draw(TWO, replace(CHAT, user="u"))[:3] == ["ii^uqr|ab$us|d$", "......ab$...d$.", "xxxxxxx........"]
    assert draw(TWO, replace(BLIND, user="u"))[0] == "ii^uqr|ab$us|d$"


def test_before_text_stands_where_no_image_does_before_the_words():
    config = replace(INLINE, user="u", before_text="v")
    assert draw(TWO, config)[0] == "^uiiqr|ab$uvs|d$"
    assert draw(Sample(["p"], turns=(Turn("q<image>r", ("a",)),)), config)[0] == "^uvqiir|a$"
    assert draw(TWO, replace(config, image="front"))[0] == "ii^uvqr|ab$uvs|d$"


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


def test_image_changes_output():
    config = replace(INLINE, image_text="<fake>g<image>h")
    assert draw(TWO, config)[:3] == ["^Fgiihqr|ab$s|d$", "........ab$..d$.", "xxxxxxxxx......."]
    assert draw(Sample(["p", "q"], "q<image>r<image>"), config, training=False)[0] == "^qFgiihrFgiih|"
    assert draw(TWO, replace(config, image="front"))[:3] == ["Fgiih^qr|ab$s|d$", "........ab$..d$.", "xxxxxxxxx......."]


def test_end_of_the_line_after_a_mark_is_written_once():
    sample = Sample(["p"], "<image>\nq")
    assert draw(sample, INLINE, training=False)[0] == "^ii\nq|"
    assert draw(sample, replace(INLINE, image_text="<image>\n"), training=False)[0] == "^ii\nq|"


def test_image_number_stands_before_each_of_several_images():
    config = replace(INLINE, image_number="x{number}")
    assert draw(Sample(["p"], "q"), config, training=False)[0] == "^iiq|"
    assert draw(Sample(["p", "p"], "q"), config, training=False)[0] == "^x0iix1iiq|"


TILED = replace(INLINE, image_text="g<image>", tile="x{row}y{column}<image>", tile_row_end="r", tiles_end="t")


def test_tiles_are_written_in_reading_order_and_then_the_whole():
    sample = Sample(["p", "p"], "q")
    assert draw(sample, TILED, training=False, grids=[(1, 2), (0, 0)])[0] == "^x1y1iix1y2iirtgiigiiq|"
    assert draw(sample, TILED, training=False, grids=[(0, 0), (2, 1)])[0] == "^giix1y1iirx2y1iirtgiiq|"
    assert draw(sample, replace(TILED, tile="<x1y{column}><image>"), training=False, grids=[(0, 0), (1, 2)])[0] == (
        "^gii<x1y1>iiXiirtgiiq|"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, "^x1y1iirtgiiq|"),
        ({"tile": "<image>"}, "^iirtgiiq|"),
        ({"tile_row_end": ""}, "^x1y1iitgiiq|"),
        ({"tiles_end": ""}, "^x1y1iirgiiq|"),
        ({"whole": "first"}, "^giix1y1iirtq|"),
        ({"image": "front"}, "x1y1iirtgii^q|"),
    ],
)
def test_settings_of_tiles_change_output(setting, expected):
    assert draw(Sample(["p"], "q"), replace(TILED, **setting), training=False, grids=[(1, 1)])[0] == expected


def test_tiles_count_as_images_against_the_decoders_positions():
    writer = RowWriter(TILED, CHARACTERS, 2, max_positions=20)
    assert writer.write(Sample(["p"], "q"), training=False, grids=[(1, 1)])
    with pytest.raises(RowError, match=r"needs 27 positions, 2 for each of 4 images, and the decoder has 20"):
        writer.write(Sample(["p"], "q"), training=False, grids=[(1, 3)])


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


# ------------------------------------------------------------------------------------------------- what a user types


@pytest.mark.parametrize("config", [CHAT, replace(CHAT, image="inline"), BLIND])
def test_image_tag_is_a_word_in_a_row_without_images(config):
    sample = Sample(turns=(Turn("q<image>", ("a<image>",)),))
    assert draw(sample, config)[0] == "^q<image>|a<image>$"
    assert list(texts([sample], config)) == ["q<image>", "|", "a<image>"]


@pytest.mark.parametrize("config", [CHAT, replace(CHAT, image="inline")])
def test_image_tag_in_an_answer_is_a_word(config):
    assert draw(Sample(["p"], turns=(Turn("q", ("<image>",)),)), config)[0].endswith("q|<image>$")


def test_typed_image_tag_is_refused_where_images_stand_in_front():
    with pytest.raises(RowError, match="contains <image>, and this model reads its images before all text"):
        write(Sample(["p"], "q<image>"), training=False)


def test_typed_image_tag_of_a_later_question_does_not_move_the_image():
    later = (QA, Turn("<image>s", ("d",)))
    with pytest.raises(RowError, match=r"a later question contains <image>.*tagged=True"):
        write(Sample(["p"], turns=later), INLINE)
    tagged = Sample(["p"], turns=(QA, replace(later[1], tagged=True)))
    assert draw(tagged, INLINE)[0] == "^qr|ab$iis|d$"


@pytest.mark.parametrize("text", ["a\ud83d", "\udce9b"])
@pytest.mark.parametrize("where", ["question", "answer", "system message"])
def test_half_a_character_is_refused_by_name(text, where):
    turn = Turn(text if where == "question" else "q", (text if where == "answer" else "a",))
    sample = Sample(["p"], turns=(turn,), system=text if where == "system message" else "", origin="rows:7")
    with pytest.raises(RowError, match=rf"^rows:7: the {where}.* contains half a character"):
        write(sample, SYSTEM)


@pytest.mark.parametrize("text", ["<image>", "what is <image>?"])
def test_typed_question_with_an_image_tag_is_refused(text):
    assert check_typed("what?") == "what?"
    with pytest.raises(RowError, match="contains <image>, which stands for an image"):
        check_typed(text)


# ----------------------------------------------------------------------------------------- system messages and trimming

SYSTEM = replace(CHAT, user="u", user_with_system="<user>{system}<end>v")


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


# ------------------------------------------------------------------------------------ chats among blind turns; limits


def test_chat_among_blind_turns_is_written_as_a_chat():
    for config in (BLIND, replace(BLIND, answers="all")):
        for training in (True, False):
            chat = replace(TWO, chat=True)
            assert draw(chat, config, training=training) == draw(TWO, CHAT, training=training)
    assert draw(replace(TWO, chat=True), CHAT) == draw(TWO, CHAT)


def test_turn_that_is_too_long_by_itself_is_refused_with_its_row():
    sample = Sample(["p"], turns=(QA, Turn("q", ("ab" * 9,))), origin="rows:7")
    with pytest.raises(RowError, match=r"rows:7: has \d+ tokens of text, more than processor.prompt.max_tokens 12"):
        write(sample, replace(BLIND, max_tokens=12))
