from ojito.evaluate import Graded, Report
from ojito.evaluate.confusion import Confused, confusion
from ojito.records import Sample, Turn


def graded(expected, given, count=1, kind="shape", overlap=None):
    return [Graded(Sample(turns=(Turn("q", (expected,), kind),)), given, expected == given, overlap)] * count


def found(*groups, **options):
    return confusion(Report(tuple(one for group in groups for one in group)), **options)


def test_wrong_answers_are_counted_most_frequent_first():
    pairs = found(
        graded("circle", "square", 2),
        graded("circle", "circle", 4),
        graded("star", "Circle.", 3),
        graded("star", "", 1),
    )
    assert pairs == [Confused("shape", "star", "circle", 3, 4), Confused("shape", "circle", "square", 2, 6)]
    assert found(graded("circle", "square", 2), graded("star", "circle", 3), most=1)[0].count == 3


def test_kinds_are_counted_apart():
    assert [pair.kind for pair in found(graded("a", "b", 2, "x"), graded("a", "b", 2, "y"))] == ["x", "y"]


def test_only_answers_of_a_closed_set_are_confused():
    open_ended = [graded(f"{n}", "x", 1) for n in range(20)]
    assert found(*open_ended) == []
    assert found(graded("a dog", "a cat", 5, overlap=0.5)) == []
    assert found(*(graded(f"{n}", "x", 2) for n in range(60))) == []
