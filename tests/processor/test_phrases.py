import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ojito.config import TokenizerConfig
from ojito.processor import Tokenizer
from ojito.settings import ConfigError

NAMES = ("ball", "box", "star", "tree")
TEXTS = [f"what colour is the {name}?" for name in NAMES] + [f"how many {name}s?" for name in NAMES]
TEXTS += ["a red ball, a blue box", "red", "blue", "\n"]
TEXTS *= 3


def trained(phrases=0.1, size=400, texts=TEXTS):
    return Tokenizer.train(TokenizerConfig(phrases=phrases), texts, size)


def pieces(tokenizer, text):
    return [tokenizer.decode([i]) for i in tokenizer.encode(text)]


def test_words_that_always_stand_together_become_one_token():
    assert pieces(trained(), "what colour is the ball?") == ["what colour is the", "ball?"]
    assert pieces(trained(), "how many stars?") == ["how many", "stars?"]


def test_without_phrases_no_token_goes_beyond_a_word():
    assert pieces(trained(0.0), "what colour is the ball?") == ["what", "colour", "is", "the", "ball", "?"]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.3, 2), (0.05, 1)])
def test_share_says_how_frequent_a_phrase_is(share, expected):
    # "what colour is the" opens 4 of 12 texts, "what colour is the ball?" is 1 of 12
    assert len(trained(share).encode("what colour is the ball?")) == expected


def test_phrase_that_comes_up_once_is_not_learned():
    assert len(trained(0.0001, texts=[*TEXTS, "one thing only"]).encode("thing only")) > 1


def test_vocabulary_ends_at_its_size():
    words, phrases = trained(0.5), trained(0.05)
    assert words.size < phrases.size
    assert trained(0.05, size=phrases.size - 2).size == phrases.size - 2


def test_merges_are_those_that_the_library_applies(tmp_path):
    """The second round counts pairs in rows it merged itself; the library must merge the same."""
    trained().save(tmp_path / "tokenizer.json")
    again = Tokenizer.read(tmp_path / "tokenizer.json")
    tokens = {token for text in TEXTS for token in pieces(again, text)}
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    phrases = ["".join(m).replace("Ġ", " ").strip() for m in merges if "Ġ" in "".join(m)[1:]]
    assert "what colour is the" in phrases
    assert {p for p in phrases if not any(p != q and p in q for q in phrases)} <= tokens


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30).map(lambda text: text.lstrip(" ")))
def test_phrases_roundtrip_any_text(text):
    tokenizer = trained()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_token_in_a_text_is_plain_text():
    tokenizer = trained(texts=[*TEXTS, *["the token <eos> ends"] * 9])
    assert tokenizer.eos not in tokenizer.encode("the token <eos> ends")
    assert tokenizer.decode(tokenizer.encode("the token <eos> ends")) == "the token <eos> ends"


def test_texts_count_as_often_as_they_come_up():
    rare, often = Counter(TEXTS), Counter(TEXTS)
    often["a red ball, a blue box"] = 60
    assert len(trained(0.5, texts=list(rare.elements())).encode("a red ball, a blue box")) == 6
    assert len(trained(0.5, texts=list(often.elements())).encode("a red ball, a blue box")) == 1


@pytest.mark.parametrize(("settings", "message"), [
    ({"phrases": 1.5}, "phrases: 1.5 is no share"),
    ({"phrases": 0.1, "kind": "characters"}, "phrases: 0.1 is for kind=bpe"),
])  # fmt: skip
def test_phrases_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TokenizerConfig(**settings)
