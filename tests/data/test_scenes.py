import itertools
import random

import numpy as np
import pytest

from ojito.config import ScenesConfig
from ojito.data.scenes import (
    COLOURS,
    KINDS,
    PLACES,
    QUESTIONS,
    SAMPLES,
    SIDE,
    UNSEEN,
    Scenes,
    Thing,
    ask,
    background,
    draw_things,
    paint,
    paint_boxed,
)
from ojito.settings import ConfigError

SCENE = [
    Thing("star", "red", "big", 0),
    Thing("ball", "blue", "small", 4),
    Thing("ball", "red", "small", 8),
]


def first(count, **options):
    return list(itertools.islice(Scenes(ScenesConfig(**options)).stream("train", 0), count))


def every_answer(kind, things=SCENE, tries=60):
    turns = [ask(kind, things, random.Random(i)) for i in range(tries)]
    return {turn.prompt: turn.answers[0] for turn in turns if turn}


def test_boxes_hold_every_pixel_of_their_things_and_little_else():
    for number in range(20):
        things = draw_things(random.Random(number), 4)
        image, boxes = paint_boxed(things, random.Random(number))
        ground = background(random.Random(number)).clip(0, 255).astype(np.uint8)
        changed = (np.asarray(image) != ground).any(axis=-1)
        inside = np.zeros_like(changed)
        for thing, box in zip(things, boxes, strict=True):
            assert box.label == f"{thing.colour} {thing.kind}"
            assert abs((box.left + box.right) / 2 - (thing.column + 0.5) * SIDE / 3) <= 3
            assert abs((box.top + box.bottom) / 2 - (thing.row + 0.5) * SIDE / 3) <= 3
            inside[box.top : box.bottom, box.left : box.right] = True
            assert changed[box.top : box.bottom, box.left : box.right].mean() > 0.2  # the moon is thin
        assert not changed[~inside].any()


def test_boxes_do_not_change_the_scene():
    assert paint(SCENE, random.Random(1)).tobytes() == paint_boxed(SCENE, random.Random(1))[0].tobytes()


def test_twelve_of_the_pairs_are_never_drawn_for_training():
    rng = random.Random(0)
    seen = {(t.kind, t.colour) for _ in range(3000) for t in draw_things(rng, rng.randint(1, 4))}
    assert len(UNSEEN) == 12
    assert seen == set(itertools.product(KINDS, COLOURS)) - UNSEEN


def test_unseen_split_always_asks_about_a_pair_that_training_lacks():
    rng = random.Random(0)
    for _ in range(50):
        thing = draw_things(rng, 3, unseen=True)[0]
        assert (thing.kind, thing.colour) in UNSEEN
    words = [f"{colour} {kind}" for kind, colour in UNSEEN]
    captions = [s.turns[0].answers[0] for s in Scenes().samples("unseen", 200) if s.turns[0].kind == "caption"]
    assert captions
    assert all(any(word in text for word in words) for text in captions)


@pytest.mark.parametrize("split", ["dev", "unseen"])
def test_samples_ask_the_ten_kinds_evenly(split):
    kinds = [sample.turns[0].kind for sample in Scenes().samples(split, 100)]
    assert {kind: kinds.count(kind) for kind in QUESTIONS} == dict.fromkeys(QUESTIONS, 10)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("colour", {"what colour is the star?": "red"}),
        ("what", {"what is the blue thing?": "ball"}),
        ("where", {"where is the star?": "top left"}),
        ("size", {"what size is the star?": "big"}),
        ("kinds", {"which kinds?": "ball star"}),
        ("caption", {"": "red star top left, blue ball middle, red ball bottom right"}),
    ],
)
def test_question_is_unambiguous_and_its_answer_exact(kind, expected):
    assert every_answer(kind) == expected


def test_counts_are_exact():
    counts = every_answer("count kind") | every_answer("count colour")
    assert counts["how many balls?"] == "2"
    assert counts["how many stars?"] == "1"
    assert counts["how many red things?"] == "2"
    assert counts["how many blue things?"] == "1"
    assert all(
        n == "0" for prompt, n in counts.items() if not any(w in prompt for w in ("ball", "star", "red", "blue"))
    )


def test_existence_is_about_both_properties_together():
    answers = every_answer("exists", tries=300)
    there = {f"is there a {t.colour} {t.kind}?" for t in SCENE}
    assert {prompt for prompt, answer in answers.items() if answer == "yes"} == there
    assert answers["is there a blue star?"] == "no"


def test_relations_hold_in_the_image():
    things = [Thing("star", "red", "big", 0), Thing("moon", "blue", "small", 5)]
    assert every_answer("relation", things) == {
        "is the star left of the moon?": "yes",
        "is the moon left of the star?": "no",
        "is the star above the moon?": "yes",
        "is the moon above the star?": "no",
    }


def test_object_is_painted_at_its_place_in_its_colour():
    for place in range(len(PLACES)):
        thing = Thing("box", "red", "big", place)
        image = np.asarray(paint([thing], random.Random(place)), np.int32)
        middle = image[thing.row * 16 + 8, thing.column * 16 + 8]
        assert np.abs(middle - COLOURS["red"]).max() <= 16
    assert image.shape == (SIDE, SIDE, 3)


def test_stream_is_decided_by_its_seed():
    def look(seed):
        sample = next(Scenes().stream("train", seed))
        return sample.images[0].tobytes(), sample.turns

    assert look(0) == look(0)
    assert look(0) != look(1)


def test_training_and_held_out_scenes_differ():
    dev = {sample.images[0].tobytes() for sample in Scenes().samples("dev", 50)}
    assert not dev & {sample.images[0].tobytes() for sample in first(50)}


def test_questions_changes_the_number_of_turns_and_one_of_them_is_the_caption():
    for sample in first(20, questions=3):
        assert [turn.kind for turn in sample.turns].count("caption") == 1
        assert len({turn.prompt for turn in sample.turns}) == 3


def test_scene_with_every_colour_can_be_asked_how_many_there_are():
    things = [Thing("ball", colour, "small", place) for place, colour in enumerate(COLOURS)]
    turn = ask("count colour", things, random.Random(0))
    assert turn.answers == ("1",)


def test_max_objects_changes_the_scenes():
    objects = [sample.turns[0].answers[0].count(",") + 1 for sample in first(60, max_objects=2)]
    assert set(objects) == {1, 2}


def test_limit_and_seed_change_the_samples():
    def images(*args, **options):
        return [sample.images[0].tobytes() for sample in Scenes().samples("dev", *args, **options)]

    assert len(images()) == SAMPLES
    assert images(7) == images(limit=9)[:7]
    assert len(images(7)) == 7
    assert images(7) != images(7, seed=1)


def test_training_draws_from_the_training_split_alone():
    with pytest.raises(ValueError, match=r"'trian' is no split of scenes; did you mean train\?"):
        Scenes().stream("trian")
    for split in ("dev", "unseen"):
        with pytest.raises(ValueError, match=f"'{split}' of scenes is kept for evaluation; learn from 'train'"):
            Scenes().stream(split)


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="'test' is no split of scenes; choose from train, dev, unseen"):
        Scenes().samples("test", 3)


def test_too_many_objects_are_refused():
    with pytest.raises(ConfigError, match="10 do not fit the nine places"):
        ScenesConfig(max_objects=10)
