import dataclasses
import io
import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from ojito.answering import Answer
from ojito.config import ImageConfig, ProcessorConfig
from ojito.evaluate import Graded, Report, Scores, evaluate, overlap
from ojito.evaluate.controls import blank_image
from ojito.evaluate.runner import ask, by_kind
from ojito.generate import GenerateOptions, PrefixCache, Temperature
from ojito.model import VLM
from ojito.processor import ImageError, RowError
from ojito.processor.images import open_image
from ojito.records import Sample, Turn

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
MEAN = (0.2, 0.4, 0.6)


def plain(colour):
    return Image.new("RGB", (8, 8), colour)


class Eye:
    """Stands in for a pipeline: says the colour of the first image, in letters for tokens.

    Attributes:
        batch_sizes: How many it was to answer at once, each time that it was asked.
        seen: The samples, in the order in which they were asked.
        limits: The numbers of tokens that an answer could take.
        seeds: Of each question, by its text.
    """

    def __init__(self, answer=None):
        self.batch_sizes, self.seen, self.limits, self.seeds = [], [], set(), []
        tokenizer = SimpleNamespace(encode=list)
        self.processor = SimpleNamespace(config=ProcessorConfig(image=ImageConfig(mean=MEAN)), tokenizer=tokenizer)
        self._answer = answer or self._colour

    def generate_each(self, samples, options, *, batch_size):
        self.batch_sizes.append(batch_size)
        for sample, one in zip(samples, options, strict=True):
            try:
                if sample.dialogue[-1].prompt == "too long":
                    raise RowError(sample.origin, "has 600 tokens of text")
                for image in sample.images:
                    open_image(image)
            except (ImageError, RowError) as error:
                yield error
                continue
            self.seen.append(sample)
            self.limits.add(one.max_new_tokens)
            self.seeds.append((sample.dialogue[-1].prompt, one.seed))
            text, most = self._answer(sample), one.max_new_tokens
            yield Answer(text[:most], (), "length" if len(text) > most else "eos")

    def _colour(self, sample):
        names = {rgb: name for name, rgb in COLOURS.items()}
        return names.get(open_image(sample.images[0]).getpixel((0, 0)), "?") if sample.images else "dark"


@pytest.fixture
def eye():
    return Eye()


@pytest.fixture
def samples():
    """Four plain images, each with a question whose answer is their colour."""
    return [
        Sample([plain(rgb)], turns=(Turn("which colour?", (name,), "colour"),), origin=f"rows:{number}")
        for number, (name, rgb) in enumerate(COLOURS.items(), 1)
    ]


def answered(given="x", right=True, kind="", prompt="what?", score=None):
    return Graded(Sample(turns=(Turn(prompt, ("x",), kind),)), given, right, score)


def given(graded):
    return [one.given for one in graded]


# ---------------------------------------------------------------------------------------------------- right or wrong


@pytest.mark.parametrize(
    ("said", "right"), [("Blue.", True), ("navy", True), ("dark blue", False), ("", False), ("?", False)]
)
def test_any_of_several_answers_is_right(said, right):
    turn = Turn("which colour?", ("blue", "Navy!"))
    report = evaluate(Eye(lambda sample: said), [Sample(turns=(turn,))])
    assert [one.right for one in report.graded] == [right]
    assert given(report.graded) == [said]


def test_captions_have_the_overlap_with_the_nearest_reference():
    turns = (Turn("", ("a cat", "a red ball")),), (Turn("what?", ("a ball",)),), (Turn("say", ("ball",), "caption"),)
    graded = evaluate(Eye(lambda sample: "a ball"), [Sample(turns=turn) for turn in turns]).graded
    expected = [overlap("a ball", ["a red ball"]), None, overlap("a ball", ["ball"])]
    assert [one.overlap for one in graded] == expected
    assert [one.right for one in graded] == [False, True, False]


def test_graded_question_tells_its_question_and_its_kind():
    turns = (Turn("before", ("a",), "other"), Turn("what?", ("b",), "colour"))
    assert Graded(Sample(turns=turns), "b", True).turn == turns[1]
    assert Graded(Sample(turns=turns), "b", True).kind == "colour"
    assert answered(prompt="").kind == "caption"
    assert answered(prompt="what?").kind == "question"


# -------------------------------------------------------------------------------------------------------------- scores


def test_scores_are_shares_and_means():
    graded = [
        answered(right=True),
        answered(right=False, score=0.5),
        answered(right=False, score=0.2),
        answered(right=False),
    ]
    assert Scores.of(iter(graded)) == Scores(n=4, exact_match=0.25, overlap=pytest.approx(0.35))


def test_scores_have_no_overlap_without_captions():
    assert Scores.of([answered()]) == Scores(n=1, exact_match=1.0, overlap=None)
    assert Scores.of([answered(score=0.0)]).overlap == 0.0


def test_scores_of_nothing_are_zero():
    assert Scores.of([]) == Scores(n=0, exact_match=0.0)


def test_scores_are_rounded_for_json():
    assert Scores(3, 2 / 3).to_dict() == {"n": 3, "exact_match": 0.6667}
    assert Scores(3, 2 / 3, 1 / 3).to_dict() == {"n": 3, "exact_match": 0.6667, "overlap": 0.3333}
    assert Scores(3, 0.0, 0.0).to_dict() == {"n": 3, "exact_match": 0.0, "overlap": 0.0}


def test_kinds_are_scored_apart_in_the_order_in_which_they_come():
    graded = (answered(kind="size"), answered(kind="colour", right=False), answered(kind="size", right=False))
    expected = {"size": Scores(2, 0.5), "colour": Scores(1, 0.0)}
    assert Report(graded).per_kind == by_kind(graded) == expected
    assert list(Report(graded).per_kind) == ["size", "colour"]
    assert Report(graded).scores == Scores(3, pytest.approx(1 / 3))


def test_report_is_json_with_the_controls_that_were_run():
    graded, blank = (answered(kind="size"), answered(kind="hue")), (answered(kind="size", right=False),)
    values = Report(graded, blank=blank, problems=("a.jpg: does not exist",)).to_dict()
    assert json.loads(json.dumps(values)) == {
        "n": 2,
        "exact_match": 1.0,
        "per_kind": {"size": {"n": 1, "exact_match": 1.0}, "hue": {"n": 1, "exact_match": 1.0}},
        "blank_image": {"n": 1, "exact_match": 0.0, "per_kind": {"size": {"n": 1, "exact_match": 0.0}}},
        "problems": ["a.jpg: does not exist"],
    }
    assert "exchanged_image" in Report(graded, exchanged=blank).to_dict()
    assert "blank_image" not in Report(graded, exchanged=blank).to_dict()


# -------------------------------------------------------------------------------------------------------------- asking


def test_every_turn_with_answers_is_asked_after_the_turns_before_it(eye):
    turns = (Turn("one", ("1",)), Turn("two"), Turn("three", ("3",)), Turn("four"))
    report = evaluate(eye, [Sample(turns=turns, origin="a"), Sample(turns=turns[:1], origin="b")])
    asked = [(one.sample.origin, one.sample.dialogue) for one in report.graded]
    assert asked == [("a", turns[:1]), ("a", turns[:3]), ("b", turns[:1])]
    assert sorted(map(id, eye.seen)) == sorted(id(one.sample) for one in report.graded)


def asked(eye):
    return [sample.dialogue[-1].prompt for sample in eye.seen]


def test_grades_keep_the_order_of_the_samples_and_short_questions_are_asked_first(samples):
    prompts = ["much longer", "b", "long as well", "a"]
    samples = [dataclasses.replace(s, turns=(Turn(p, ("x",)),)) for s, p in zip(samples, prompts, strict=True)]
    echo = Eye(lambda sample: sample.dialogue[-1].prompt)
    report = evaluate(echo, samples, controls=(), batch_size=2)
    assert given(report.graded) == prompts
    assert asked(echo) == ["a", "b", "much longer", "long as well"]


def test_questions_about_one_image_follow_each_other(samples):
    echo = Eye(lambda sample: sample.dialogue[-1].prompt)
    turns = {"many": 0, "b": 1, "a": 0, "ab": 2, "abc": 1}
    rows = [dataclasses.replace(samples[n], turns=(Turn(prompt, ("x",)),)) for prompt, n in turns.items()]
    evaluate(echo, [*rows, Sample(turns=(Turn("aa", ("x",)),)), Sample(turns=(Turn("aaa", ("x",)),))], controls=())
    assert asked(echo) == ["aa", "aaa", "a", "many", "b", "abc", "ab"]


def test_batch_size_is_how_many_are_asked_at_once(eye, samples):
    evaluate(eye, samples, controls=(), batch_size=3)
    evaluate(eye, samples, controls=())
    assert eye.batch_sizes == [3, 64]


def test_max_new_tokens_cuts_the_answers(eye, samples):
    report = evaluate(eye, samples, controls=(), max_new_tokens=3)
    assert given(report.graded) == ["red", "gre", "blu", "whi"]
    assert report.scores.exact_match == 0.25


def test_answers_that_the_limit_cuts_are_counted(eye, samples):
    report = evaluate(eye, samples, controls=(), max_new_tokens=3)
    assert [one.finish for one in report.graded] == ["eos", "length", "length", "length"]
    assert (report.scores.cut, report.limit, report.to_dict()["cut"]) == (3, 3, 3)
    assert "cut" not in evaluate(eye, samples).to_dict()


def test_limit_is_that_of_the_longest_expected_answer_unless_one_is_given(eye, samples):
    evaluate(eye, samples)
    boxes = dataclasses.replace(samples[0], turns=(Turn("detect cats", ("red", "<loc0001>" * 40)),))
    report = evaluate(eye, [*samples, boxes], controls=())
    evaluate(eye, [boxes], controls=(), max_new_tokens=9)
    assert eye.limits == {64, 9 * 40 + 16, 9}
    assert report.limit == 9 * 40 + 16


def test_controls_have_the_numbers_of_their_questions(eye, samples):
    same = (Turn("which colour?", ("red",)),)
    rows = [Sample(turns=same), *(dataclasses.replace(sample, turns=same) for sample in samples)]
    report = evaluate(eye, rows)
    assert [one.number for one in report.graded] == [0, 1, 2, 3, 4]
    assert [one.number for one in report.blank] == [one.number for one in report.exchanged] == [1, 2, 3, 4]


def test_progress_counts_questions_over_all_controls(eye, samples):
    told = []
    evaluate(eye, samples, batch_size=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 12) for number in range(1, 13)]


def test_progress_ends_at_its_total_where_some_have_no_controls(eye, samples):
    told = []
    broken = dataclasses.replace(samples[0], images=[b"no image"])
    rows = [Sample(turns=(Turn("what?", ("dark",)),)), broken, *samples]
    evaluate(eye, rows, progress=lambda *numbers: told.append(numbers))
    assert told == [*((n, 18) for n in range(1, 7)), *((n, 14) for n in range(7, 15))]


# ------------------------------------------------------------------------------------------------------------ controls


def test_controls_ask_the_same_questions_about_other_images(eye, samples):
    report = evaluate(eye, samples)
    assert given(report.graded) == list(COLOURS)
    assert report.scores.exact_match == 1
    assert given(report.blank) == ["?"] * 4
    for graded in (report.blank, report.exchanged):
        assert [one.turn for one in graded] == [one.turn for one in report.graded]
        assert not any(one.right for one in graded)


def test_exchanged_images_are_those_of_other_rows(eye, samples):
    report = evaluate(eye, samples)
    assert sorted(given(report.exchanged)) == sorted(COLOURS)
    own = [sample.images[0] for sample in samples]
    met = [one.sample.images[0] for one in report.exchanged]
    assert sorted(map(id, met)) == sorted(map(id, own))
    assert not any(a is b for a, b in zip(met, own, strict=True))


def test_blank_image_has_the_mean_colour(eye, samples):
    pair = dataclasses.replace(samples[0], images=[plain("red"), plain("blue")])
    (one,) = evaluate(eye, [pair], controls=("blank",)).blank
    assert [image.getcolors() for image in one.sample.images] == [[(32 * 32, (51, 102, 153))]] * 2


def test_blank_image_is_zero_for_the_model(pipe):
    pixels = pipe.processor([Sample([blank_image(pipe)], "a")]).images
    assert pixels.abs().max() < 0.01  # half a step of 255


@pytest.mark.parametrize("control", ["blank", "exchanged"])
def test_only_the_controls_that_are_asked_for_are_run(eye, samples, control):
    told = []
    report = evaluate(eye, samples, controls=(control,), progress=lambda *numbers: told.append(numbers))
    assert len(eye.seen) == 8
    assert {name for name in ("blank", "exchanged") if getattr(report, name)} == {control}
    assert told[-1] == (8, 8)


def test_no_controls_ask_nothing_again(eye, samples):
    report = evaluate(eye, samples, controls=())
    assert len(eye.seen) == 4
    assert report.blank == report.exchanged == ()


def test_question_without_an_image_has_no_controls(eye, samples):
    report = evaluate(eye, [Sample(turns=(Turn("what?", ("dark",)),)), *samples])
    assert len(report.graded) == 5
    assert len(report.blank) == len(report.exchanged) == 4


def test_seed_decides_on_the_exchange_alone(eye, samples):
    reports = [evaluate(eye, samples, seed=seed) for seed in (0, 0, *range(1, 9))]
    exchanges = [given(report.exchanged) for report in reports]
    assert exchanges[0] == exchanges[1]
    assert len(set(map(tuple, exchanges))) > 1
    assert len({(*given(report.graded), *given(report.blank)) for report in reports}) == 1


# ------------------------------------------------------------------------------------------------------------ problems


def test_bad_rows_are_named_once_and_cost_the_others_nothing(eye, samples):
    missing = dataclasses.replace(samples[0], images=["nowhere/a.png"], origin="rows:5")
    long = dataclasses.replace(samples[0], turns=(Turn("too long", ("red",)),), origin="rows:6")
    report = evaluate(eye, [missing, samples[0], long, *samples[1:]])
    assert given(report.graded) == list(COLOURS)
    assert len(report.blank) == len(report.exchanged) == 4
    assert sorted(report.problems) == [
        "rows:5: nowhere/a.png: does not exist; check the path: its folder does not exist either",
        "rows:6: has 600 tokens of text",
    ]
    assert report.to_dict()["problems"] == list(report.problems)


def test_problem_of_a_row_without_origin_is_its_message(eye, samples):
    broken = dataclasses.replace(samples[0], images=[b"no image"], origin="")
    (problem,) = evaluate(eye, [broken, samples[1]]).problems
    assert problem.startswith("8 bytes: is not a")


def test_report_has_no_problems_where_there_are_none(eye, samples):
    assert evaluate(eye, samples).problems == ()


@pytest.mark.parametrize("rows", [[], [Sample(prompt="what?"), Sample(turns=(Turn("what?"),))]], ids=len)
def test_nothing_to_score_against_is_an_error(eye, rows):
    with pytest.raises(ValueError, match=f"samples: none of {len(rows)} has a turn with answers; give at least one"):
        evaluate(eye, rows)
    assert not eye.seen


def test_nothing_that_can_be_asked_is_an_error(eye, samples):
    broken = [dataclasses.replace(sample, images=[b""]) for sample in samples[:2]]
    with pytest.raises(
        ValueError, match="samples: none of 2 questions can be asked; mend them\n  rows:1: 0 bytes: are not"
    ):
        evaluate(eye, broken)


@pytest.mark.parametrize("controls", [("blnak",), "blank", ("blank", "black")])
def test_unknown_control_is_an_error_before_anything_is_asked(eye, samples, controls):
    with pytest.raises(ValueError, match="are not among blank, exchanged, none, half, shuffled, blurred; give a list"):
        evaluate(eye, samples, controls=controls)
    assert not eye.seen


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_below_one_is_an_error(eye, samples, batch_size):
    with pytest.raises(ValueError, match=f"batch_size: {batch_size} asks nothing; use 1 or more"):
        evaluate(eye, samples, batch_size=batch_size)


def test_error_of_the_model_is_not_taken_for_a_bad_row(samples):
    def fail(sample):
        if sample.origin == samples[2].origin:
            raise ValueError("logits are not finite")
        return "red"

    with pytest.raises(ValueError, match="logits are not finite"):
        evaluate(Eye(fail), samples)


# ------------------------------------------------------------------------------------------------------ a real pipeline


@pytest.fixture
def noisy():
    """Images that a model with random weights tells apart."""
    rows = []
    for number, prompt in enumerate(["what", "how many", "what", ""]):
        generator = torch.Generator().manual_seed(number)
        values = torch.randint(256, (16, 16, 3), generator=generator, dtype=torch.uint8)
        rows.append(Sample([Image.fromarray(values.numpy())], turns=(Turn(prompt, ("x",)),), origin=f"{number}"))
    return rows


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_grades_are_what_a_pipeline_answers(pipe, noisy, batch_size):
    report = evaluate(pipe, noisy, batch_size=batch_size, max_new_tokens=7)
    assert given(report.graded) == [str(answer) for answer in pipe.generate(noisy, max_new_tokens=7)]
    for graded in (report.blank, report.exchanged):
        assert given(graded) == [str(a) for a in pipe.generate([one.sample for one in graded], max_new_tokens=7)]
        assert given(graded) != given(report.graded)


def test_options_decide_how_a_pipeline_answers(pipe, noisy):
    def answers(**options):
        return given(evaluate(pipe, noisy, controls=(), options=GenerateOptions(**options), max_new_tokens=7).graded)

    assert answers(beams=3) == [str(answer) for answer in pipe.generate(noisy, beams=3, max_new_tokens=7)]
    assert answers(beams=3) != answers()
    sampled = {seed: answers(sampler=Temperature(2.0), seed=seed) for seed in (0, 0, 5)}
    assert sampled[0] == [str(a) for a in pipe.generate(noisy, temperature=2.0, max_new_tokens=7)]
    assert sampled[0] != sampled[5]


def test_a_question_draws_with_a_seed_of_its_own_and_keeps_it_in_the_controls(eye):
    turns = {prompt: (Turn(prompt, ("x",)),) for prompt in "abc"}
    samples = [Sample([plain(rgb)], turns=turns[p]) for p, rgb in zip(turns, list(COLOURS.values())[:3], strict=True)]
    evaluate(eye, samples, batch_size=2, options=GenerateOptions(seed=40))
    assert sorted(eye.seeds) == [("a", 40)] * 3 + [("b", 41)] * 3 + [("c", 42)] * 3


def test_beams_make_batches_smaller(eye, samples):
    evaluate(eye, samples[:3], controls=(), batch_size=8, options=GenerateOptions(beams=4))
    assert eye.batch_sizes == [2]


def test_image_is_encoded_once_however_many_batches_ask_about_it(pipe, noisy, monkeypatch):
    encoded, encode = [], VLM.encode
    monkeypatch.setattr(VLM, "encode", lambda self, images: encoded.append(len(images)) or encode(self, images))
    prompts = [Turn(prompt, ("x",)) for prompt in ("a", "much longer", "b", "cd", "ef")]
    rows = [dataclasses.replace(row, turns=(turn,)) for turn in prompts for row in noisy]
    report = evaluate(pipe, rows, batch_size=2, max_new_tokens=3)
    assert sum(encoded) == 4 + 1  # the blank one; those that are exchanged are known
    pipe.prefixes = PrefixCache(0)
    assert given(report.graded) == [str(pipe.generate([row], max_new_tokens=3)[0]) for row in rows]


def test_answers_of_a_pipeline_are_as_long_as_allowed(pipe, noisy):
    lengths = {n: max(map(len, given(evaluate(pipe, noisy, max_new_tokens=n).graded))) for n in (2, 5)}
    assert lengths == {2: 2, 5: 5}


def test_bad_images_and_long_questions_do_not_stop_a_pipeline(pipe, noisy):
    file = io.BytesIO()
    noisy[0].images[0].save(file, "PNG")
    cut = dataclasses.replace(noisy[0], images=[file.getvalue()[:200]], origin="cut")
    long = dataclasses.replace(noisy[0], turns=(Turn("a" * 600, ("x",)),), origin="long")
    alone = dataclasses.replace(noisy[0], images="a.png", origin="alone")
    lone = dataclasses.replace(noisy[0], images=noisy[0].images[0], origin="lone")
    report = evaluate(pipe, [cut, *noisy, long, alone, lone], controls=(), max_new_tokens=3)
    assert given(report.graded) == [str(answer) for answer in pipe.generate(noisy, max_new_tokens=3)]
    assert sorted(problem.split(":")[0] for problem in report.problems) == ["alone", "cut", "lone", "long"]


def test_choice_is_right_by_its_letter_or_its_text():
    turn = Turn("which?\nA. dog\nB. cat", ("B",), choices=("dog", "cat"))
    said = ["b", "Cat.", "the answer is B", "A", "x"]
    stub = SimpleNamespace(generate_each=lambda *args, **options: (Answer(one, (), "eos") for one in said))
    found = [one.right for one in ask(stub, [Sample(turns=(turn,))] * len(said), GenerateOptions())]
    assert found == [True, True, True, False, False]


def test_last_turns_are_asked_and_numbered(pipe):
    image = Image.new("RGB", (16, 16))
    rows = [
        Sample([image], turns=(Turn("a", ("b",)), Turn("c", ("d",)))),
        Sample(["gone.png"], turns=(Turn("e", ("f",)),)),
    ]
    told = []
    found = ask(pipe, rows, GenerateOptions(max_new_tokens=2), 1, lambda *numbers: told.append(numbers))
    assert [(one.number, one.turn.prompt) for one in found] == [(0, "c")]
    assert told[-1] == (2, 2)
