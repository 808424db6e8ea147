"""`ojito look`: the words of an answer, and maps of them."""

import json

import numpy as np
import pytest
from PIL import Image

from ojito.probe.maps import LEAST_SIDE
from ojito.probe.methods import METHODS


def look(trained, images, *words):
    return ["look", trained, images / "0.png", "--device", "cpu", "--answer", "a red image", *words]


def test_table_has_every_word_with_its_probability(run, trained, images):
    code, out, err = run(*look(trained, images))
    head, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["word", "probability", "in", "its", "place"]
    assert [row.split()[0] for row in rows] == ["a", "red", "image"]
    assert all("%" in row.split()[1] for row in rows)


def test_without_an_answer_it_looks_at_the_model_s_own(run, trained, images):
    said = json.loads(run("caption", trained, images / "0.png", "--device", "cpu", "--json")[1].splitlines()[0])
    words = ["look", trained, images / "0.png", "--device", "cpu", "--json"]
    if said["caption"].strip():
        assert json.loads(run(*words)[1])["answer"] == said["caption"]
    code, out, _ = run(*words, "--max-new-tokens", "1")
    assert code in (0, 2)
    assert code == 2 or len(json.loads(out)["words"]) == 1


def test_word_is_drawn_over_the_image(run, trained, images, tmp_path):
    drawn = []
    for word in ("red", "image"):
        out = tmp_path / f"{word}.png"
        code, _, err = run(*look(trained, images, "--word", word, "--out", out, "--method", "gradient"))
        assert (code, err) == (0, "")
        drawn.append(np.asarray(Image.open(out)))
    assert drawn[0].shape[0] >= LEAST_SIDE
    assert not np.array_equal(*drawn)


def test_map_of_nothing_is_told(run, trained, images, tmp_path):
    """An even image is the same wherever it is covered with its mean."""
    out = tmp_path / "map.png"
    code, _, err = run(*look(trained, images, "--word", "red", "--out", out, "--method", "occlusion"))
    assert (code, err) == (0, "ojito: by occlusion, no part of the image speaks for 'red'\n")
    assert out.exists()


def test_without_a_word_every_word_is_drawn_in_small(run, trained, images, tmp_path):
    assert run(*look(trained, images, "--out", tmp_path / "one.png", "--word", "red"))[0] == 0
    assert run(*look(trained, images, "--out", tmp_path / "all.png"))[0] == 0
    assert Image.open(tmp_path / "all.png").width > 2 * 200
    assert np.asarray(Image.open(tmp_path / "all.png")).shape != np.asarray(Image.open(tmp_path / "one.png")).shape


@pytest.mark.parametrize("method", METHODS)
def test_json_has_words_and_maps_of_each_method(run, trained, images, method):
    code, out, _ = run(*look(trained, images, "--json", "--method", method, "--cells", 3))
    result = json.loads(out)
    assert code == 0
    assert result["method"] == method
    assert [word["word"] for word in result["words"]] == ["a", "red", "image"]
    assert all(0 < word["probability"] <= 1 and word["tokens"] for word in result["words"])
    assert [one["word"] for one in result["maps"]] == ["a", "red", "image"]
    sides = {"gradient": 16, "occlusion": 3}
    assert np.array(result["maps"][0]["values"]).shape == (sides.get(method, 2),) * 2
    assert result["maps"][0]["covers"] == [0, 0, 20, 20]


def test_layer_and_head_ask_for_attention(run, trained, images):
    values = [
        json.loads(run(*look(trained, images, "--json", *how))[1])
        for how in ([], ["--layer", 0], ["--head", 1], ["--method", "attention"])
    ]
    assert [one["method"] for one in values] == ["relevance", "attention", "attention", "attention"]
    assert [(one["layer"], one["head"]) for one in values[1:]] == [(0, None), (None, 1), (None, None)]
    assert values[1]["maps"] == values[3]["maps"] != values[2]["maps"]  # of one layer, and two heads


def test_question_changes_the_probabilities(run, trained, images):
    said = [json.loads(run(*look(trained, images, "--json", *how))[1]) for how in ([], ["--prompt", "what is it?"])]
    assert said[0]["words"][0]["probability"] != said[1]["words"][0]["probability"]


def test_punctuation_is_told_and_not_drawn(run, trained, images):
    out = run(*look(trained, images, "--json", "--answer", "red, image."))[1]
    result = json.loads(out)
    assert [word["word"] for word in result["words"]] == ["red", ",", "image", "."]
    assert [one["word"] for one in result["maps"]] == ["red", "image"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--word", "dog"], "word 'dog': is not in the answer 'a red image'; choose from a, red, image"),
        (["--answer", " "], "--answer: is empty; give one, or leave it out"),
        (["--layer", "1"], "layer: 1 is none of the decoder's 1; use 0 to 0"),
        (["--head", "4"], "head: 4 is none of the decoder's 2; use 0 to 1"),
        (["--method", "rollout", "--head", "0"], "head: is for the method attention, not rollout"),
        (["--method", "nonsense"], "invalid choice: 'nonsense'"),
        (["--method", "occlusion", "--cells", "40"], "cells: 40 do not fit along 20 pixels"),
        (["--out", "map.txt"], "--out map.txt: is not an image file"),
        (["--out", "no/map.png"], "is in a folder that does not exist"),
    ],
)
def test_mistake_is_one_line(refused, trained, images, words, said):
    assert said in refused(*look(trained, images, "--json", *words))


def test_image_that_is_not_there_is_refused(refused, trained):
    assert "no.png" in refused("look", trained, "no.png", "--device", "cpu")


@pytest.mark.parametrize("flag", ["--layer", "--head"])
def test_layer_of_a_map_that_is_not_drawn_is_refused(refused, trained, images, flag):
    said = refused("look", trained, images / "0.png", flag, 99)
    assert f"{flag}: chooses a map, and none is drawn; add --out map.png, or --json" in said
