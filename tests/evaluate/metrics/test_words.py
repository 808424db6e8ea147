import pytest

from ojito.evaluate.metrics.words import normalize, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red", "red"),
        ("  two \n dogs ", "two dogs"),
        ("yes.", "yes"),
        ("yes !?", "yes"),
        ("3.5", "3.5"),
        ("a ball", "a ball"),
        ("e\u0301l", "\xe9l"),  # one letter or a letter with an accent
        ("\uff12", "2"),
        ("...", "..."),  # nothing is left of these but what they are
        ("?", "?"),
        ("…", "..."),
        (" ", ""),
        ("红色。", "红色"),
        ("लाल।", "लाल"),
        ("❤\ufe0f", "❤"),  # one emoji, in colour or as text
    ],
)
def test_normalize_leaves_what_exact_match_compares(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red Ball, on grass.", ["a", "red", "ball", "on", "grass"]),
        ("don't 'quote' the dog’s ears", ["don't", "quote", "the", "dog's", "ears"]),
        ("black-and-white\n3 dogs", ["black", "and", "white", "3", "dogs"]),
        ("Straße", ["strasse"]),
        ("?!", ["?", "!"]),  # of marks alone, every mark is one
        ("", []),
        ("红色的球。", ["红", "色", "的", "球"]),
        ("赤い ボール", ["赤", "い", "ボ", "ー", "ル"]),
        ("ที่", ["ที่"]),  # a vowel and a tone stay with their letter
        ("빨간 공", ["빨간", "공"]),  # Korean has spaces
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("l'été d'un café", ["l'été", "d'un", "café"]),
        ("a 🔴 ball", ["a", "🔴", "ball"]),
        ("❤\ufe0f❤", ["❤", "❤"]),
        ("👩\u200d🚀👍🏽🇵🇪🇪🇸", ["👩\u200d🚀", "👍🏽", "🇵🇪", "🇪🇸"]),  # of several characters, and one emoji each
        ("20°, 5 €", ["20", "°", "5", "€"]),
        ("3色", ["3", "色"]),
    ],
)
def test_words_have_no_case_and_no_punctuation(text, expected):
    assert words(text) == expected
