"""What of an exercise is open."""

from ojito.learn import Question
from ojito.learn.gaps import Gap, ask, open_gaps, prediction

SOURCE = """
PREDICTION = "B "

def one(x):
    y = x[..., 0]
    y = ...  # half
    return f(..., 1)

def two():
    return 2

def table():
    return {
        "left": 1,
        "right": ...,
    }

class Three:
    def method(self):
        ...
"""


def test_gaps_are_statements_and_arguments_of_one_function():
    assert open_gaps(SOURCE, "one") == [Gap(6, "y = ...  # half"), Gap(7, "return f(..., 1)")]
    assert open_gaps(SOURCE, "two") == []
    assert open_gaps(SOURCE, "Three") == [Gap(20, "...")]


def test_entry_of_a_dict_is_a_gap():
    assert open_gaps(SOURCE, "table") == [Gap(15, '"right": ...,')]


def test_prediction_is_read_without_running_the_file():
    assert prediction(SOURCE) == "b"
    assert prediction("PREDICTION = ''\nraise SystemExit") == ""
    assert prediction("x = 1") == ""
    assert prediction("PREDICTION = b") == "b"


def test_question_is_asked_until_it_is_answered_with_one_of_its_letters():
    question = Question("How many?", {"a": "one", "b": "two"}, "b", "because")
    assert ask(question, "a") == ""
    assert ask(question, "").splitlines() == [
        "Predict first, then run. Put a letter into PREDICTION:",
        "How many?",
        "  a  one",
        "  b  two",
    ]
    assert ask(question, "z").startswith("'z' is none of the answers. ")
