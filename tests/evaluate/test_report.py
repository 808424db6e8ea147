import base64
import dataclasses
import io
import json
import re

import pytest
from PIL import Image

from ojito.evaluate import Graded, Report
from ojito.evaluate.report import AnswerMap, log_ticks, page, read_losses, shown_first
from ojito.evaluate.scoring import scores_to_dict
from ojito.records import Sample, Turn
from tests.noise import noise

LOSSES = [{"seconds": 20.0, "loss": 4.0}, {"seconds": 60.0, "loss": 1.0}]
TAG = '<i id="x">&'
ESCAPED = "&lt;i id=&quot;x&quot;&gt;&amp;"


def plain(colour="red", size=(8, 8)):
    return Image.new("RGB", size, colour)


def answered(given="red", right=True, *, image=None, prompt="which colour?", answer="red", kind="colour", score=None):
    images = [plain() if image is None else image]
    return Graded(Sample(images, turns=(Turn(prompt, (answer, "another"), kind),)), given, right, score)


def make(*graded, **options):
    return page("Headline", "About it.", Report(graded or (answered(),)), **options)


def text(html):
    """What a reader sees, without style and tags."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html).split())


def shown_images(html):
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]*)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def cards(html):
    return re.split(r'<div class="card(?: [^"]*)?">', html)[1:]


# ------------------------------------------------------------------------------------------------------- top and table


def test_page_has_its_headline_and_is_one_file_without_scripts():
    html = make(losses=LOSSES)
    assert html.startswith("<!doctype html>")
    assert "<h1>Headline</h1><p>About it.</p>" in html
    assert "<title>Headline</title>" in html
    assert not re.search(r"<script|<link|https?:|url\(|@import", html)
    assert len(re.findall(r"src=", html)) == len(shown_images(html)) == 1


def test_scores_stand_on_top_beside_their_controls():
    graded = (
        answered(),
        answered(),
        answered(right=False),
        answered("x", False, kind="caption", prompt="", score=0.25),
    )
    report = Report(graded, blank=(answered(right=False),) * 4, exchanged=(answered(), *(answered(right=False),) * 3))
    top = text(page("t", "a", report)).partition("By kind")[0]
    assert "50.0% exact match 4 questions" in top
    assert "0.250 word overlap" in top
    assert "0.0% blank image exact match without looking" in top
    assert "25.0% exchanged image exact match without looking" in top


def test_top_shows_only_what_was_measured():
    html = make()
    assert html.count('class="tile"') == 1
    assert "word overlap" not in html


def test_tiles_replace_the_reports_own():
    html = make(tiles=[("12%", "name", "remark"), ("7", "other", "more")])
    assert html.count('class="tile"') == 2
    assert "12% name remark 7 other more By kind" in text(html)
    assert "exact match" not in html


def test_controls_are_explained_where_there_are_some():
    assert "The bars below it" not in make()
    assert "The bars below it" in page("t", "a", Report((answered(),), blank=(answered(),)))


def test_table_has_a_row_for_each_kind_with_its_controls():
    graded = (
        answered(kind="size"),
        answered(kind="size", right=False),
        answered(kind="hue"),
        answered(kind="size"),
        answered(kind="size"),
    )
    report = Report(
        graded, blank=(answered(kind="size"), answered(kind="size", right=False)), exchanged=(answered(kind="size"),)
    )
    html = page("t", "a", report)
    assert "Exchanged size 4 75% 50% 100% hue 1 100% – – Images" in text(html)
    size, hue = re.findall(r"<tr><td>.*?</tr>", html)
    assert re.findall(r'class="(\w*)" style="width:([\d.]+%)', size) == [
        ("seen", "75.0%"),
        ("", "50.0%"),
        ("", "100.0%"),
    ]
    assert re.findall(r'class="(\w*)" style="width:([\d.]+%)', hue) == [("seen", "100.0%")]


# --------------------------------------------------------------------------------------------------------------- curve


@pytest.mark.parametrize("losses", [[], LOSSES[:1]], ids=len)
def test_curve_needs_two_lines_of_the_log(losses):
    assert "<svg" not in make(losses=losses)
    assert "Loss while training" not in make(losses=losses)


def test_lines_of_the_log_without_a_loss_are_left_out():
    skipped = {"seconds": 70.0, "loss": None}
    assert make(losses=[*LOSSES, skipped]) == make(losses=LOSSES)
    assert "<svg" not in make(losses=[LOSSES[0], skipped])


def test_curve_goes_through_the_log():
    html = make(losses=[*LOSSES, {"seconds": 80.0, "loss": 2.0}])
    assert 'aria-label="Loss from 4.00 to 2.00 in 80 seconds"' in html
    (line,) = re.findall(r'<polyline points="([^"]*)"', html)
    points = [tuple(map(float, point.split(","))) for point in line.split()]
    (left, top), (middle, low), (right, half) = points
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', html).groups())
    assert 0 < left < middle < right < width
    assert 0 < top < half < low < height
    assert (right - middle) / (middle - left) == pytest.approx(20 / 40, abs=0.01)
    assert (low - half) / (half - top) == pytest.approx(1, abs=0.01)  # from 4 to 2 is as far as from 2 to 1
    assert re.findall(r'"middle">([\d.]+)</text>', html) == ["0", "20", "40", "60", "80"]
    assert re.findall(r'"end">([\d.]+)</text>', html) == ["1", "2", "3", "4"]
    assert ">s of training</text>" in html
    assert ">loss per token, in nats</text>" in html


def test_log_of_the_last_training_is_read(tmp_path):
    first, last = ({"step": 1, "loss": loss, "seconds": 2.0} for loss in (5.0, 3.0))
    lines = [first, {**first, "step": 2}, {"evaluation": True, "step": 2, "seconds": 2.0}, last, {**last, "step": 2}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_losses(tmp_path) == [last, {**last, "step": 2}]
    assert read_losses(tmp_path / "nowhere") == []
    (tmp_path / "metrics.jsonl").write_text("{")
    assert read_losses(tmp_path) == []


def test_time_of_the_curve_is_in_a_unit_that_fits_it():
    hours = make(losses=[{"seconds": 0.0, "loss": 4.0}, {"seconds": 14400.0, "loss": 1.0}])
    assert ">h of training</text>" in hours
    assert ">4</text>" in hours
    assert ">min of training</text>" in make(losses=[{"seconds": 0.0, "loss": 4.0}, {"seconds": 600.0, "loss": 1.0}])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 4, [1, 2, 3, 4]),
        (0.05, 6.2, [0.05, 0.1, 0.2, 0.5, 1, 2, 5]),
        (1e-9, 10, [1e-9, 1e-7, 1e-5, 1e-3, 0.1, 10]),
        (2.1, 2.7, [2.1, 2.7]),
    ],
)
def test_ticks_of_the_curve_are_round_numbers(low, high, expected):
    assert log_ticks(low, high) == expected


def test_curve_of_a_run_that_took_no_time_and_lost_nothing_is_drawn():
    assert "<polyline" in make(losses=[{"seconds": 0.0, "loss": 0.0}] * 2)


# --------------------------------------------------------------------------------------------------------------- cards


def test_cards_limit_the_images():
    graded = [answered(image=plain((n, 0, 0))) for n in range(30)]
    assert len(cards(make(*graded))) == 24
    assert len(cards(make(*graded, cards=40))) == 30
    assert len(cards(make(*graded, cards=3))) == 3
    assert not cards(make(*graded, cards=0))


def test_cards_take_the_kinds_in_turn():
    kinds = ["size", "size", "size", "hue", "hue", "where"]
    graded = [answered(image=plain((n, 0, 0)), kind=kind) for n, kind in enumerate(kinds)]
    shown = [image.getpixel((0, 0))[0] for image in shown_images(make(*graded))]
    assert shown == [0, 3, 5, 1, 4, 2]


def test_cards_are_half_the_worst_and_half_drawn_by_seed():
    graded = [answered(image=plain((n, 0, 0)), right=n % 10 > 0) for n in range(40)]

    def shown(seed):
        html = make(*graded, cards=6, seed=seed)
        labels = re.findall(r"<em>(.*?)</em>", html)
        assert labels == ["among the worst"] * 3 + ["drawn"] * 3
        return [image.getpixel((0, 0))[0] for image in shown_images(html)]

    first, again, other = (shown(seed) for seed in (0, 0, 1))
    assert first[:3] == other[:3] == [0, 10, 20]
    assert first == again != other
    assert "<em>" not in make(*graded, cards=40)


def test_worst_captions_are_those_that_share_least_with_their_references():
    scores = [0.9, 0.1, 0.5, 0.0, 0.7, 0.6]
    graded = [
        answered("x", False, image=plain((n, 0, 0)), prompt="", kind="caption", score=score)
        for n, score in enumerate(scores)
    ]
    worst = [image.getpixel((0, 0))[0] for image in shown_images(make(*graded, cards=4))][:2]
    assert worst == [3, 1]


def test_all_questions_about_an_image_share_its_card(tmp_path):
    path = tmp_path / "a.png"
    plain().save(path)
    image = plain()
    images = [image, path, image, str(path)]
    graded = [answered(image=image, prompt=f"question {number}") for number, image in enumerate(images)]
    first, second = cards(make(*graded, cards=2))
    assert re.findall(r"question \d(?=</dt>)", first) == ["question 0", "question 2"]
    assert re.findall(r"question \d(?=</dt>)", second) == ["question 1", "question 3"]


def test_card_shows_question_answer_and_mark():
    (card,) = cards(make(answered("Red.")))
    assert '<dt>which colour?</dt><dd class="right">Red. <small>✓ right</small></dd>' in card
    assert "expected" not in card


def test_card_shows_what_was_expected_where_the_answer_is_wrong():
    (card,) = cards(make(answered("blue", False)))
    assert '<dd class="wrong">blue <small>✗ wrong</small></dd><dd class="wanted">expected: red | another</dd>' in card


def test_card_of_a_caption_shows_its_overlap():
    (card,) = cards(make(answered("a red thing", False, prompt="", answer="a red ball", score=0.456)))
    assert '<dt>caption</dt><dd class="">a red thing <small>overlap 0.46</small></dd>' in card
    assert "expected: a red ball" in card
    (card,) = cards(make(answered("a red ball", prompt="", answer="a red ball", score=1.0)))
    assert "✓ right" in card
    assert "overlap" not in card


def test_answer_that_was_cut_off_says_so():
    cut = dataclasses.replace(answered("re", False), finish="length")
    assert "✗ wrong, cut off" in make(cut)
    assert "1 of 1 answers were cut off." in text(make(cut))
    assert "at 3 tokens" in text(page("t", "a", Report((cut,), limit=3)))


def test_notices_come_before_the_numbers():
    top = text(make(notices=["All rows were learned."])).partition("exact match")[0]
    assert "Headline About it. All rows were learned." in top


def test_kinds_at_chance_are_called_out():
    graded = [answered(right=False) for _ in range(30)]
    assert "At chance, so that nothing shows that the model looks. colour: 0%, no better than 100%" in text(
        make(*graded)
    )
    assert "At chance" not in text(make(*graded[:5]))


def test_captions_are_shown_by_their_overlap_in_the_table():
    graded = answered("a", False, kind="caption", prompt="", score=0.25)
    html = page("t", "a", Report((graded,), blank=(dataclasses.replace(graded, overlap=0.125),)))
    assert "caption 1 0.25 0.12 –" in text(html)
    assert 'class="seen" style="width:25.0%"' in html


def test_wrong_answers_that_come_again_are_in_a_table():
    graded = [answered("blue", False)] * 3 + [answered()] * 2
    assert "Kind Expected Given Times colour red blue 3 of 5" in text(
        page("t", "a", Report(tuple(dataclasses.replace(one, sample=single(one)) for one in graded)))
    )
    assert "come again" not in make()


def single(one):
    """The sample with one answer alone."""
    return dataclasses.replace(one.sample, turns=(dataclasses.replace(one.turn, answers=one.turn.answers[:1]),))


def test_empty_answer_is_called_nothing():
    assert "(nothing)" in make(answered("", False))


def test_question_without_an_image_has_no_card():
    html = make(Graded(Sample(turns=(Turn("what?", ("x",)),)), "x", True), answered())
    assert len(cards(html)) == 1
    assert "what?" not in html


# ------------------------------------------------------------------------------------------------------------ images


def test_small_image_is_embedded_as_it_is():
    image = noise((40, 30))
    (embedded,) = shown_images(make(answered(image=image)))
    assert embedded.tobytes() == image.tobytes()


def test_large_image_is_embedded_smaller():
    (embedded,) = shown_images(make(answered(image=plain(size=(896, 448)))))
    assert embedded.size == (224, 112)


def test_page_leaves_the_images_as_they_are():
    image = plain(size=(896, 448))
    make(answered(image=image))
    assert image.size == (896, 448)


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: path.read_bytes()], ids=["str", "path", "bytes"])
def test_files_are_embedded(tmp_path, form):
    plain("blue").save(tmp_path / "a.png")
    (embedded,) = shown_images(make(answered(image=form(tmp_path / "a.png"))))
    assert embedded.getpixel((0, 0)) == (0, 0, 255)


# ------------------------------------------------------------------------------------------------------------ escaping


@pytest.mark.parametrize(
    "show",
    [
        lambda: page(TAG, "about", Report((answered(),))),
        lambda: page("title", TAG, Report((answered(),))),
        lambda: make(tiles=[(TAG, "name", "remark")]),
        lambda: make(tiles=[("1", TAG, "remark")]),
        lambda: make(tiles=[("1", "name", TAG)]),
        lambda: make(answered(kind=TAG)),
        lambda: make(answered(prompt=TAG)),
        lambda: make(answered(given=TAG)),
        lambda: make(answered(answer=TAG, right=False)),
        lambda: make(notices=[TAG]),
    ],
    ids=["title", "about", "value", "name", "remark", "kind", "question", "answer", "expected", "notice"],
)
def test_foreign_text_is_escaped(show):
    html = show()
    assert ESCAPED in html
    assert "<i id" not in html


def test_question_cannot_leave_the_images_description():
    html = make(answered(prompt='" onerror="alert(1)'))
    assert 'alt="image asked about: &quot; onerror=&quot;alert(1)" src="data:' in html


# --------------------------------------------------------------------------------------------------- scores and filters


def test_scores_stand_with_their_intervals_and_gaps():
    report = Report((answered(),) * 3, blank=(answered("blue", False),) * 3)
    html = page("t", "a", report, metrics=scores_to_dict(report))
    assert "<h2>Scores</h2>" in html
    assert "<td>exact_match<td>3<td>1.000<td>1.000 to 1.000<td>+1.000 (+1.000 to +1.000)</tr>" in html
    assert "<th>Above blank</tr>" in html
    assert "<h2>Scores</h2>" not in page("t", "a", report)


def test_losses_without_the_image_are_shown():
    values = {"exact_match": 0.5, "loss": 2.0, "loss_above": {"difference": 1.0, "low": 0.5, "high": 1.5}}
    assert "<tr><td>blank<td>50.0%<td>2.000<td>+1.000 (+0.500 to +1.500)</tr>" in make(grounding={"blank": values})
    assert "Without the image" not in make()


def test_cards_can_be_chosen_by_what_is_wrong_and_by_kind():
    html = make(answered(kind="colour"), answered("blue", False, kind="<shape>"))
    assert re.findall(r'<div class="(card(?: [^"]*)?)">', html) == [
        "card has-wrong kind-1",
        "card kind-0",
    ]  # worst first
    assert "&lt;shape&gt;</label>" in html
    assert "body:has(#show-kind-1:checked) .card:not(.kind-1) { display: none }" in html
    assert "show-kind" not in make(answered(kind="colour"))


def test_references_are_shown_each_once_the_most_frequent_first():
    turn = Turn("what?", ("b", "a", "b", "c", "d", "e", "f", "g"))
    html = make(Graded(Sample([Image.new("RGB", (8, 8))], turns=(turn,)), "x", False))
    assert "expected: b | a | c | d | e | and 2 more</dd>" in html


# ---------------------------------------------------------------------------------------------------------------- maps


def numbered(*right):
    return [
        dataclasses.replace(answered("red" if r else "blue", r, image=plain((n, 0, 0))), number=n)
        for n, r in enumerate(right)
    ]


def test_map_stands_below_its_answer():
    graded = numbered(False, True)
    html = make(*graded, maps={0: AnswerMap(plain("lime"), TAG)})
    first, second = cards(html)
    assert re.search(r'blue <small>✗ wrong</small></dd>.*<figure><img alt="map over the image" src="data:', first)
    assert f"<figcaption>{ESCAPED}</figcaption>" in first
    assert "<figure>" not in second
    assert shown_images(html)[1].getpixel((0, 0)) == (0, 255, 0)
    assert "A map shows" in html
    assert "A map shows" not in make(*graded)


def test_answer_without_a_map_says_why():
    html = make(*numbered(False), maps={0: AnswerMap(None, "no map: the answer has no word")})
    assert "<figure><figcaption>no map: the answer has no word</figcaption></figure>" in html


def test_first_questions_of_a_page_are_the_worst():
    graded = numbered(True, False, True, False)
    assert [one.number for one in shown_first(graded, 3)] == [1, 3, 0]
    assert shown_first(graded, 0) == []
    many = numbered(*[n % 10 > 0 for n in range(40)])
    for seed in (0, 1):
        first = shown_first(many, 6, cards=6, seed=seed)
        assert [one.number for one in first[:3]] == [0, 10, 20]
        drawn = [image.getpixel((0, 0))[0] for image in shown_images(make(*many, cards=6, seed=seed))]
        assert {one.number for one in first} == set(drawn)


def test_sections_stand_between_scores_and_images():
    report = Report((answered(),))
    html = page("t", "a", report, metrics=scores_to_dict(report), sections=["<h2>One</h2>", "<h2>Two</h2>"])
    assert [*re.findall(r"<h2>(.*?)</h2>", html)] == [
        "By kind of question",
        "Scores",
        "One",
        "Two",
        "Images and answers",
    ]
