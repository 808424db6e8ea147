"""Where images stand in a row, and where typed tags do not."""

from dataclasses import replace

import pytest

from ojito.processor import RowError, texts
from ojito.processor.prompts import RowWriter, check_typed, without_tags
from ojito.records import Sample, Turn
from tests.processor.prompts.drawn import BLIND, CHARACTERS, CHAT, INLINE, QA, SYSTEM, TWO, draw, write


def test_blind_turns_count_on_from_the_image_each_in_its_own_segment():
    assert draw(TWO, BLIND) == [
        "ii^qr|ab$s|d$",
        ".....ab$..d$.",
        "xxxxxx...xx..",
        "0001111112222",
        "0123456783456",
    ]


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


def test_question_that_is_a_mark_alone_asks_for_a_caption():
    row = Sample(["p"], turns=(Turn("<image>", ("ab",), tagged=True),))
    assert draw(row)[0] == "ii^c|ab$"
    assert next(texts([row], CHAT)) == "c"


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


def test_before_text_stands_where_no_image_does_before_the_words():
    config = replace(INLINE, user="u", before_text="v")
    assert draw(TWO, config)[0] == "^uiiqr|ab$uvs|d$"
    assert draw(Sample(["p"], turns=(Turn("q<image>r", ("a",)),)), config)[0] == "^uvqiir|a$"
    assert draw(TWO, replace(config, image="front"))[0] == "ii^uvqr|ab$uvs|d$"


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
