"""Scores by kind of question, in tables."""

import re

import pytest

from ojito.evaluate import Graded, Report
from ojito.evaluate.kinds import kinds_html, kinds_table
from ojito.evaluate.scoring import kinds_to_dict
from ojito.records import Sample, Turn


def graded(given, answer, kind, number, prompt="what?"):
    return Graded(Sample(turns=(Turn(prompt, (answer,), kind),)), given, given == answer, number=number)


@pytest.fixture
def report():
    seen = [graded("a", "a" if n % 2 else "b", "a kind with quite a long name", n) for n in range(20)]
    seen += [graded("x", "x", "<b>", n) for n in range(20, 40)]
    seen += [graded("a dog", "a dog runs" if n % 2 else "a cat", "", n, "") for n in range(40, 50)]
    blind = tuple(Graded(one.sample, "no", False, number=one.number) for one in seen)
    return Report(tuple(seen), blank=blind, exchanged=blind)


PRIOR = {"question_prior": {"per_kind": {"<b>": {"model_above": {"difference": 0.2, "low": 0.1, "high": 0.3}}}}}


def test_report_of_a_kind_has_its_questions_and_their_controls(report):
    part = report.of_kind("<b>")
    assert {len(graded) for graded in (part.graded, part.blank, part.exchanged)} == {20}
    assert {one.kind for one in (*part.graded, *part.blank, *part.exchanged)} == {"<b>"}
    assert report.of_kind("none of these").graded == ()


def test_kinds_have_intervals_and_gaps(report):
    values = kinds_to_dict(report)
    first, second, caption = values.values()
    assert set(values) == {"a kind with quite a long name", "<b>", "caption"}
    assert first["exact_match"]["score"] == 0.5
    assert 0.2 < first["exact_match"]["low"] < 0.5 < first["exact_match"]["high"] < 0.8
    assert first["exact_match"]["above_blank"]["difference"] == 0.5
    assert second["exact_match"]["above_exchanged"]["low"] == 1
    assert next(iter(caption)) == "cider"
    assert set(kinds_to_dict(report, ["anls"])["<b>"]) == {"anls"}


def test_table_is_readable_and_no_wider_than_120_columns(report):
    lines = kinds_table(kinds_to_dict(report), PRIOR).splitlines()
    assert [line[:20].strip() for line in lines] == ["kind", "a kind with quite a…", "<b>", "caption, cider"]
    assert "0.50 (0." in lines[1]
    assert "+1.00 (+1.00 to +1.00)" in lines[2]
    assert lines[2].endswith("+0.20 (+0.10 to +0.30)")
    assert lines[0].endswith("above blank             above exchanged         above question prior")
    assert max(map(len, lines)) <= 120


def test_columns_are_of_what_was_asked(report):
    table = kinds_table(kinds_to_dict(Report(report.graded)), {})
    assert "above" not in table
    assert "above question prior" in kinds_table(kinds_to_dict(Report(report.graded)), PRIOR)


def test_page_has_the_same(report):
    html = kinds_html(kinds_to_dict(report), PRIOR)
    assert html.count("<tr>") == 4
    assert "<td>&lt;b&gt;" in html
    assert "+0.200 (+0.100 to +0.300)" in re.sub(r"<[^>]*>", " ", html)
