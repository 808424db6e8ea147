import dataclasses
import json
import os

import pytest

from ojito.errors import OjitoError
from ojito.learned import Learned, row_keys
from ojito.records import Sample, Turn
from tests.noise import noise


def key(image):
    (found,) = row_keys(Sample([image]))
    return found


def test_image_is_known_again_wherever_it_lies(tmp_path):
    plain = noise((40, 40), mode="L")
    (tmp_path / "there").mkdir()
    for name in ("a.png", "there/b.png"):
        plain.save(tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert key(tmp_path / "a.png") == key(str(tmp_path / "there" / "b.png")) == key(content)
    assert key(plain) == key(plain.copy()) != key(plain.rotate(90))


@pytest.mark.parametrize("place", [0, 150_000, -1])
def test_large_file_is_known_by_its_begin_its_middle_and_its_end(tmp_path, place):
    content = bytearray(300_000)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "c").write_bytes(content + b"\0")
    assert len({key(tmp_path / name) for name in "abc"}) == 3
    assert key(tmp_path / "b") == key(bytes(content))


def test_file_that_changes_is_another_image(tmp_path):
    path = tmp_path / "a.png"
    keys = []
    for number in range(2):
        path.write_bytes(b"%d" % number)
        os.utime(path, ns=(number, number))
        keys.append(key(path))
    assert keys[0] != keys[1]


def test_image_that_is_missing_or_none_has_a_key(tmp_path):
    assert key(tmp_path / "gone.png") != key(tmp_path / "away.png")
    assert key(tmp_path)
    assert key(7)
    assert key("\0")
    assert row_keys(Sample("a.png")) == ()


def test_row_of_text_is_known_by_its_prompts():
    row = Sample(turns=(Turn("how many?", ("2",)), Turn("why?", ("so",))))
    other = dataclasses.replace(row, turns=(row.turns[0], Turn("when?", ("now",))))
    assert row_keys(row) == row_keys(dataclasses.replace(row, origin="elsewhere")) != row_keys(other)


ROWS = [
    Sample([b"a"], turns=(Turn("", ("x",)), Turn("which colour?", ("red",), "colour"))),
    Sample([b"b"], turns=(Turn("what?", ("y",)), Turn("unanswered?"))),
]


def test_learned_tells_kinds_and_a_question():
    learned = Learned.of(ROWS, [Sample([b"c"])])
    assert learned.kinds == {"caption": 1, "colour": 1, "question": 1}
    assert learned.question == "which colour?"
    assert (learned.captions, learned.questions) == (True, True)
    captions = Learned.of([dataclasses.replace(ROWS[0], turns=ROWS[0].turns[:1])])
    assert (captions.captions, captions.questions) == (True, False)


def test_rows_are_counted_by_their_images():
    learned = Learned.of(ROWS, [Sample([b"c"])])
    assert learned.count([Sample([b"a"]), Sample([b"z", b"b"]), Sample([b"c"]), Sample(prompt="x")]) == 2
    assert [learned.is_held_out(Sample([content])) for content in (b"a", b"c")] == [False, True]


def test_rows_of_a_source_without_end_leave_no_keys():
    assert Learned.of(ROWS, keys=False).learned == frozenset()


def test_training_that_goes_on_adds_to_what_was_learned():
    first = dataclasses.replace(Learned.of(ROWS[:1], [Sample([b"b"]), Sample([b"c"])]), before=True)
    both = Learned.of(ROWS[1:], before=first)
    assert both.count(ROWS) == 2
    assert not both.is_held_out(ROWS[1])  # learned since
    assert both.is_held_out(Sample([b"c"]))
    assert both.kinds == {"caption": 1, "colour": 1, "question": 1}
    assert both.before


def test_learned_reads_back_from_json_and_is_small():
    learned = Learned.of(ROWS, [Sample([b"c"])])
    assert Learned.from_dict(json.loads(json.dumps(learned.to_dict()))) == learned
    many = Learned(frozenset(number.to_bytes(6, "big") for number in range(50_000)))
    assert len(json.dumps(many.to_dict())) < 500_000


GOOD = Learned.of(ROWS).to_dict()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "does not hold what training writes; delete it"),
        ({}, "does not hold what training writes; delete it"),
        ({**GOOD, "format": 2}, "is of format 2, and this Ojito reads 1; update"),
        ({**GOOD, "learned": "x"}, "does not hold"),
        ({**GOOD, "learned": "eHg="}, "does not hold"),
        ({**GOOD, "learned": 3}, "does not hold"),
        ({**GOOD, "kinds": []}, "does not hold"),
        ({**GOOD, "kinds": {"a": "b"}}, "does not hold"),
    ],
)
def test_values_that_are_none_are_refused(values, said):
    with pytest.raises(OjitoError, match=f"learned: {said}"):
        Learned.from_dict(values)
