import pytest

from ojito.errors import OjitoError
from ojito.generate import StopTexts

WORDS = ["a", "b ", "STOP", "S", "TO", "P", "ñ", "<end>"]  # the last is a special token
BYTES = {6: b"\xc3", 8: b"\xb1"}  # halves of a character


def decode(ids):
    parts = [BYTES.get(i, b"" if i == 7 else WORDS[min(i, 7)].encode()) for i in ids]
    return b"".join(parts).decode(errors="replace")


def parse(text):
    before, found, after = text.partition("<end>")
    return [part for part in (before, 7 if found else "", after) if part != ""]


def stops(*texts):
    return StopTexts(texts, decode, parse)


def test_text_ends_where_a_stop_is_complete():
    ends = stops("STOP")
    assert [ends([0, 3, 4, 5][:n]) for n in (1, 2, 3, 4)] == [False, False, False, True]
    assert ends.cut([0, 3, 4, 5]) == "a"
    assert ends([2, 0])


def test_no_texts_end_nothing():
    assert not stops()([2])
    assert stops().cut([0, 2]) == stops().settled([0, 2]) == "aSTOP"


def test_stop_may_be_within_a_token():
    ends = stops("TO")
    assert ends([0, 2])
    assert ends.cut([0, 2]) == "aS"


def test_earliest_of_several_stops_cuts():
    assert stops("P", "ST").cut([0, 3, 4, 5]) == "a"


def test_beginning_of_a_stop_is_held_back():
    ends = stops("STOP", "b")
    assert [ends.settled([0, 3, 4, 0][:n]) for n in (1, 2, 3, 4)] == ["a", "a", "a", "aSTOa"]
    assert ends.settled([0, 1]) == "a"


def test_half_a_character_is_neither_given_nor_a_stop():
    replacement = stops("\ufffd")
    assert not replacement([0, 6])
    assert replacement.settled([0, 6]) == "a"
    assert stops("ñ")([0, 6, 8])
    assert not stops("ñ")([0, 6])


def test_special_token_ends_by_its_id():
    ends = stops("<end>")
    assert ends([0, 7])
    assert not ends([0, 1])
    assert ends.cut([0, 7]) == "a"


def test_special_token_beside_text_is_refused():
    for text in ("a<end>", "<end>a", "a<end>b"):
        with pytest.raises(OjitoError, match="has a special token beside other text"):
            stops(text)
