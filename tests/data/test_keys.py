import pytest

from ojito.data.keys import BadRow, Keys, all_texts, is_absent, numbered, spelled, text_of, texts_of


def test_keys_are_sorted_whatever_their_capitals():
    keys = Keys.of({"Image": "a.jpg", " CAPTION ": "x", "Split": None, "File-Name": float("nan"), "id": 3, "kind": " "})
    assert keys == Keys({"image": "a.jpg", "caption": "x"}, ("split", "file_name", "kind"), ("id",))


def test_key_in_two_spellings_is_named_unless_one_is_empty():
    with pytest.raises(BadRow, match="has the key split twice, once as 'Split'"):
        Keys.of({"split": "dev", "Split": "train"})
    assert Keys.of({"split": None, "Split": "train"}).values == {"split": "train"}


def test_first_of_several_names_counts():
    keys = Keys.of({"text": "x", "description": "y"})
    assert (keys.first(("caption", "description", "text")), keys.first(("question",))) == ("description", "")


def test_missing_key_is_told_with_what_probably_meant_it():
    assert str(Keys.of({"captoin": "x"}).lacks("caption or qa", "?")) == (
        "has no caption or qa; did you mean 'caption' by 'captoin'?"
    )
    assert str(Keys.of({"caption": ""}).lacks("caption or qa", "?")) == "caption is empty; write something"
    assert str(Keys.of({"id": 3}).lacks("caption", "write one")) == "has no caption; write one"


def test_option_is_text_or_nothing():
    assert Keys.of({"kind": 3}).option("kind") == "3"
    assert Keys.of({}).option("kind") == ""
    with pytest.raises(BadRow, match="kind is a list, not text"):
        Keys.of({"kind": ["x"]}).option("kind")


@pytest.mark.parametrize("value", [None, "", " \n", float("nan")])
def test_absent_values(value):
    assert is_absent(value)


@pytest.mark.parametrize("value", [0, False, [], "x", float("inf")])
def test_present_values(value):
    assert not is_absent(value)


def test_spellings():
    assert [spelled(name) for name in (" File Name", "img-path", 3)] == ["file_name", "img_path", "3"]
    assert [numbered(name) for name in ("caption_2", "captions3", "answer 1", "comment_number", "caption")] == [
        "caption", "caption", "answer", "comment_number", "caption",
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), [(" x ", "x"), (2, "2"), (0.5, "0.5"), (0, "0")])
def test_texts_and_numbers_are_text(value, text):
    assert text_of({"answer": value}, "answer") == text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (True, "answer is true, not text"),
        (float("inf"), "answer is Infinity, not text"),
        (None, "answer is null, not text"),
        ([1], "answer is a list, not text; write answers for several"),
        ("\ud83d", "answer holds half a character"),
    ],
)
def test_other_values_are_no_text(value, problem):
    with pytest.raises(BadRow, match=problem):
        text_of({"answer": value}, "answer")


def test_texts_of_one_key_or_the_other():
    assert texts_of({"caption": "x"}, "caption", "captions") == ("x",)
    assert texts_of({"captions": ["x", 2]}, "caption", "captions") == ("x", "2")
    with pytest.raises(BadRow, match="has both caption and captions"):
        texts_of({"caption": "x", "captions": ["x"]}, "caption", "captions")


def test_answers_of_annotators_are_texts():
    assert all_texts("answers", [{"answer": "red", "answer_id": 1}, "blue"]) == ("red", "blue")
    with pytest.raises(BadRow, match=r"answers\[1\] is an object, not text"):
        all_texts("answers", ["red", {"text": "x"}])
