"""Scores of captions against the public scorers; their tokenizer is a program in Java, which not every machine has."""

import json
import random
import shutil

import numpy as np
import pytest

from ojito.evaluate.captions import bleu, cider, rouge_l, tokenize

needs_java = pytest.mark.skipif(not shutil.which("java"), reason="needs Java")

TEXTS = [
    "A dog's ball isn't on the (wet) grass.", 'He said "hello" - and left...', "Two girls' bikes, 3.5 m apart!",
    "I can't, won't and cannot; they've 5,000 reasons.", "A T-shirt , a tri-colored dog and AT&T at 5:30 p.m.",
    "Mr. Smith of the U.S. drives 1/2 a mile.", "rock 'n' roll in the '90s, o'clock",
    "black/white, and/or wait...what?!",
    "A man in a `` NO FEAR '' shirt .", "50% of $5 #1 @home", "an A. a B.", "gonna be in St. Louis", "",
    "Caf\u00e9 \u2018x\u2019 \u2014 \u201cy\u201d \u2026 z", "the 1960's and two-thirds",
    "A.B. and e.g. etc.", "A man &amp; a dog",
    "an at&t headphone", "red&white", "half - time -- yes", "she'd say: it's we're I'm you'll", "don't!", "a_b",
]  # fmt: skip


def oracle(hypotheses, references):
    """CIDEr, BLEU-1 to 4 and ROUGE-L of the public scorers, and the first and the last of each caption."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    made = {i: [" ".join(tokenize(text))] for i, text in enumerate(hypotheses)}
    wanted = {i: [" ".join(tokenize(text)) for text in group] for i, group in enumerate(references)}
    c, c_each = Cider().compute_score(wanted, made)
    b, _ = Bleu(4).compute_score(wanted, made, verbose=0)
    r, r_each = Rouge().compute_score(wanted, made)
    return c, c_each, b, r, r_each


def assert_same(hypotheses, references):
    c, c_each, b, r, r_each = oracle(hypotheses, references)
    assert cider(hypotheses, references) == pytest.approx(c, abs=1e-9)
    np.testing.assert_allclose(cider(hypotheses, references).each, c_each, atol=1e-9)
    assert [bleu(hypotheses, references, n) for n in (1, 2, 3, 4)] == pytest.approx(b, abs=1e-9)
    assert rouge_l(hypotheses, references) == pytest.approx(r, abs=1e-9)
    np.testing.assert_allclose(rouge_l(hypotheses, references).each, r_each, atol=1e-9)


@pytest.fixture(scope="module")
def invented():
    """Captions of few words, so that much is shared, of unequal lengths."""
    draw = random.Random(0)
    nouns = ["a", "the", "dog", "cat", "man", "on", "grass", "runs", "sits", "red", "ball", "with", "of", "and"]
    some = lambda least: " ".join(draw.choices(nouns, k=draw.randint(least, 12)))  # noqa: E731
    return [some(0) for _ in range(60)], [[some(1) for _ in range(draw.randint(1, 5))] for _ in range(60)]


def test_scores_are_those_of_the_public_scorers(invented):
    assert_same(*invented)


def test_bleu_is_that_of_sacrebleu(invented):
    from sacrebleu.metrics import BLEU

    hypotheses, groups = invented
    groups = [group[:1] * 5 + group[:1] for group in groups]
    found = BLEU(tokenize="none", smooth_method="none").corpus_score(hypotheses, [*zip(*groups, strict=True)])
    assert bleu(hypotheses, groups) == pytest.approx(found.score / 100, abs=1e-6)


@needs_java
def test_words_are_those_of_the_public_tokenizer():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    found = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(TEXTS)})
    for i, text in enumerate(TEXTS):
        assert tokenize(text) == tuple(found[i][0].split()), text


@needs_java
def test_scores_of_real_captions_are_those_of_the_public_scorers(data_folder):
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    lines = (data_folder / "flickr8k_128" / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row["captions"] for row in map(json.loads, lines) if row["split"] == "dev"]
    assert len(rows) == 1000
    texts = [text for row in rows for text in row]
    found = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    assert [tokenize(text) for text in texts] == [tuple(found[i][0].split()) for i in range(len(texts))]
    assert_same([row[0] for row in rows], [row[1:] for row in rows])
