"""Maps in the report of `ojito eval`."""

import dataclasses
import re

import pytest

from ojito.commands.eval_maps import answer_maps
from ojito.evaluate import Graded
from ojito.records import Sample, Turn
from tests.noise import noise
from tests.pipeline.toy import make

TURNS = (Turn("what?", ("kite",)),)


def asked(given="red kite", number=0, images=None, turns=TURNS):
    return Graded(Sample(images or [noise((40, 20), seed=1)], turns=turns), given, False, number=number)


def test_map_is_of_the_word_to_which_the_image_is_worth_most():
    pipe = make()
    one = asked()
    maps = answer_maps(pipe, [one, dataclasses.replace(one, number=7)], "occlusion")
    assert set(maps) == {0, 7}
    assert re.fullmatch(r"“(red|kite)”: \d+% likely, \d+% with the image covered \(occlusion\)", maps[0].says)
    assert maps[0].image.width == 2 * maps[0].image.height


def test_method_and_dialogue_change_the_map():
    pipe = make()
    before = (Turn("which?", ("this",)), Turn("what?", ("kite",)))
    drawn = [
        answer_maps(pipe, [one], method)[0]
        for one, method in ((asked(), "occlusion"), (asked(), "relevance"), (asked(turns=before), "occlusion"))
    ]
    assert drawn[0].image.tobytes() != drawn[1].image.tobytes()
    assert drawn[0].image.tobytes() != drawn[2].image.tobytes()
    assert drawn[0].says != drawn[1].says


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (asked(""), "no map: the answer has no word"),
        (asked("?!"), "no map: the answer has no word"),
        (asked(images=[noise((8, 8))] * 2), "no map: the question is about 2 images"),
    ],
    ids=["empty", "punctuation", "two images"],
)
def test_answer_without_a_map_says_why_and_the_others_go_on(one, said):
    maps = answer_maps(make(), [one, asked(number=1)], "relevance")
    assert (maps[0].image, maps[0].says) == (None, said)
    assert maps[1].image is not None or "no part of the image" in maps[1].says


def test_report_has_so_many_maps(run, trained, images, tmp_path):
    words = ("eval", trained, images, "--split", "train", "--no-controls")
    for count in (1, 2):
        assert run(*words, "--report", tmp_path / "page.html", "--look", count)[0] == 0
        assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<figure>") == count
    assert run(*words, "--out", tmp_path / "out", "--look", 3, "--look-method", "gradient")[0] == 0
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count("<figure>") == 3


def test_maps_without_a_page_are_refused_before_anything_is_loaded(refused):
    said = refused("eval", "nowhere", "photos16", "--look", 3)
    assert "--look 3: draws into a report, and none is written; add --report report.html" in said
    said = refused("eval", "nowhere", "photos16", "--look-method", "occlusion")
    assert "--look-method occlusion: draws no map by itself; add --look 12" in said
    assert "must be greater than 0" in refused("eval", "nowhere", "photos16", "--look", 0, "--report", "a.html")
