"""Finding things: `Pipeline.detect`, and `ojito detect`."""

import json

import numpy as np
import pytest
from PIL import Image

from ojito.generate import Temperature
from ojito.processor import ImageError
from ojito.processor.locations import Box, parse, write

BOXES = [Box(0, 0, 20, 40, "cat"), Box(10, 20, 40, 80, "dog")]
TEXT = write(BOXES, 80, 40)


def near(found, expected):
    assert [box.label for box in found] == [box.label for box in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a.top, a.left, a.bottom, a.right) == pytest.approx((b.top, b.left, b.bottom, b.right), abs=0.05)
    return True


# ------------------------------------------------------------------------------------------------------------- pipeline


def test_locations_are_single_tokens_that_are_read_back(pipe):
    tokenizer = pipe.processor.tokenizer
    assert len(tokenizer.encode(TEXT)) == 2 * 4 + len(" cat ;  dog")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_boxes_are_in_pixels_of_the_picture(pipe, picture, says):
    says(TEXT)
    assert near(pipe.detect(picture, "cat ; dog"), BOXES)


@pytest.mark.parametrize("things", ["cat ; dog", "cat;dog", ["cat", "dog"], ("cat ", " dog")])
def test_things_are_asked_for_as_paligemma_knows_it(pipe, picture, says, asked, things):
    says(TEXT)
    pipe.detect(picture, things)
    assert asked[0][0] == "detect cat ; dog\n"


def test_boxes_are_of_the_upright_picture(pipe, says, tmp_path):
    says(TEXT)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 80)).save(tmp_path / "turned.jpg", exif=exif)
    for image in (tmp_path / "turned.jpg", (tmp_path / "turned.jpg").read_bytes()):
        assert near(pipe.detect(image, "cat"), BOXES)


def test_what_cannot_be_read_is_left_out(pipe, picture, says):
    says(f"I see {TEXT} ; <loc0001><loc0002>")
    assert near(pipe.detect(picture, "cat"), BOXES)
    says("nothing here")
    assert pipe.detect(picture, "cat") == []


def test_options_are_those_of_generate_with_room_for_many_boxes(pipe, picture, says, asked):
    says(TEXT)
    pipe.detect(picture, "cat")
    pipe.detect(picture, "cat", max_new_tokens=9, seed=3)
    assert [options["max_new_tokens"] for _, options in asked] == [256, 9]
    assert [options["seed"] for _, options in asked] == [0, 3]


def test_boxes_are_those_of_the_answer_with_random_weights(pipe, picture):
    how = {"sampler": Temperature(1.0), "max_new_tokens": 150}
    seed, found = next((seed, boxes) for seed in range(20) if (boxes := pipe.detect(picture, "cat", seed=seed, **how)))
    assert found == parse(str(pipe.ask(picture, "detect cat", seed=seed, **how)), 80, 40)


def test_model_without_locations_is_an_error_before_anything_is_generated(blind):
    with pytest.raises(ValueError, match="the tokenizer of toy has no token <loc0000>"):
        blind.detect("no such picture", "cat")


@pytest.mark.parametrize("things", ["", " ", "cat ; ", [], ["cat", ""]])
def test_thing_without_a_name_is_an_error(pipe, picture, things):
    with pytest.raises(ValueError, match="must name each thing to detect; give for example"):
        pipe.detect(picture, things)


def test_picture_that_is_missing_is_an_error(pipe, tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        pipe.detect(tmp_path / "gone.png", "cat")


# -------------------------------------------------------------------------------------------------------------- command


def test_detect_prints_a_line_a_box(run, model, photo, says):
    says(TEXT + " ; <loc0000><loc0000><loc0512><loc0512>")
    assert run("detect", model, photo, "cat ; dog") == (
        0,
        "cat: left 0, top 0, right 40, bottom 20\n"
        "dog: left 20, top 10, right 80, bottom 40\n"
        "left 0, top 0, right 40, bottom 20\n",
        "",
    )


def test_detect_as_json_writes_json_alone(run, model, photo, says):
    says(TEXT)
    code, out, err = run("detect", model, photo, "cat ; dog", "--json")
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert {**values, "boxes": len(values["boxes"])} == {
        "image": str(photo), "width": 80, "height": 40, "boxes": 2, "out": None
    }  # fmt: skip
    assert values["boxes"][1] == {"label": "dog", "left": 20.02, "top": 10.01, "right": 80.0, "bottom": 40.0}


def test_detect_draws_the_boxes_to_out(run, model, photo, says, tmp_path):
    says(TEXT)
    for name in ("boxed.png", "boxed.JPG"):
        assert run("detect", model, photo, "cat", "--out", tmp_path / name)[0] == 0
        assert Image.open(tmp_path / name).size == (80, 40)
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (photo, tmp_path / "boxed.png"))
    changed = (before != after).any(-1)
    assert changed[25, 20]  # the dog's left edge
    assert not changed[39, :20].any()


def test_detect_that_finds_nothing_says_so_beside_stdout(run, model, photo, says):
    says("no")
    assert run("detect", model, photo, "cat") == (0, "", "ojito: nothing was found of cat\n")
    code, out, err = run("detect", model, photo, "cat", "--json")
    assert (code, json.loads(out)["boxes"], err) == (0, [], "")


def test_detect_passes_its_flags_on(run, model, photo, says, asked):
    says(TEXT)
    run("detect", model, photo, "cat")
    run("detect", model, photo, "cat", "--max-new-tokens", 5, "--temperature", 0.5, "--seed", 7)
    assert [options["max_new_tokens"] for _, options in asked] == [256, 5]
    assert (asked[1][1]["sampler"], asked[1][1]["seed"]) == (Temperature(0.5), 7)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("boxed", "is no picture; let it end in .png"),
        ("boxed.gif", "is no picture"),
        ("gone/boxed.png", "is in a folder that does not exist"),
        ("photo.png", "is the picture itself; choose another name"),
    ],
)
def test_out_that_cannot_be_is_one_line_before_the_model_is_loaded(refused, photo, tmp_path, out, message):
    said = refused("detect", tmp_path / "no model", photo, "cat", "--out", tmp_path / out)
    assert said.startswith("ojito: error: --out")
    assert message in said


def test_model_without_locations_is_one_line(refused, blind, photo, tmp_path):
    blind.save(tmp_path / "blind")
    assert "has no token <loc0000>" in refused("detect", tmp_path / "blind", photo, "cat")


def test_detect_runs_with_random_weights(run, model, photo):
    assert run("detect", model, photo, "cat", "--max-new-tokens", 20, "--device", "cpu")[0] == 0
