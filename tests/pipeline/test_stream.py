"""Answers in pieces."""

from ojito.records import Sample, Turn
from tests.pipeline.toy import make, says, says_ids


def test_abandoned_stream_leaves_the_model_as_it_was(pipe, image):
    pipe.model.train()
    pieces = pipe.stream(image, "what")
    next(pieces)
    pieces.close()
    assert pipe.model.training


def test_stream_gives_the_text_of_ask_piece_by_piece(pipe, image):
    pieces = list(pipe.stream(image, "what", max_new_tokens=15))
    assert "".join(pieces) == str(pipe.ask(image, "what", max_new_tokens=15))
    assert len(pieces) > 1
    assert all(pieces)


def test_stream_without_a_question_is_a_caption(pipe, image):
    assert "".join(pipe.stream(image, max_new_tokens=9)) == str(pipe.caption(image, max_new_tokens=9))


def test_stream_never_ends_a_piece_within_a_character(monkeypatch, image):
    pipe = make(kind="bpe")  # single bytes
    says(monkeypatch, pipe, "ñ 🦉 ok")
    assert list(pipe.stream(image)) == ["ñ", " ", "🦉", " ", "o", "k"]


def test_stream_gives_broken_characters_once_the_text_has_ended(monkeypatch, image):
    pipe = make(kind="bpe")
    ids = list(pipe.processor.tokenizer.encode("a🦉"))[:-1]
    says_ids(monkeypatch, ids)
    assert "".join(pipe.stream(image)) == str(pipe.ask(image, "")) == pipe.processor.decode(ids)


def test_stream_never_gives_the_beginning_of_a_stop_string(monkeypatch, pipe, image):
    says(monkeypatch, pipe, "a ST ab STOP c")
    pieces = list(pipe.stream(image, stop=["STOP"]))
    assert pieces == ["a", " ", "ST ", "a", "b", " "]
    says(monkeypatch, pipe, "a STO")
    assert "".join(pipe.stream(image, stop=["STOP"])) == "a STO"


def test_stream_takes_a_dialogue(pipe, image):
    sample = Sample([image], turns=(Turn("b", ("c",)), Turn("d")))
    (answer,) = pipe.generate([sample], max_new_tokens=9)
    assert "".join(pipe.stream(sample, max_new_tokens=9)) == str(answer)
