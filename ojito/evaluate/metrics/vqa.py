"""VQA accuracy: how many of the people who were asked gave the model's answer.

Three of the others are enough for a full score. Each of the ten is left out once, and the mean is taken. Where people
differ, all answers are normalized first, in the official way: no punctuation, no articles, numbers up to ten as digits.

Source: Antol et al. 2015, https://arxiv.org/abs/1505.00468; the evaluation code at https://visualqa.org.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ojito.evaluate.metrics.answers import check_answers
from ojito.evaluate.metrics.score import Score

_ENOUGH = 3
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}
_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")

# Contractions to which the same letters without one of the apostrophes are mended.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()  # noqa: SIM905 - fewer marks to read past
_MENDED = {
    word[:at] + word[at + 1 :]: word for word in _CONTRACTIONS for at, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}


def vqa_accuracy(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Return VQA accuracy, 0 to 1.

    Args:
        answers: The model's, one a question.
        references: What people answered to each question, ten as a rule.

    Raises:
        OjitoError: The references do not fit the answers.
    """
    check_answers(answers, references)
    scores = []
    for answer, group in zip(answers, references, strict=True):
        answer, group = _plain(answer), [_plain(one) for one in group]
        if len(set(group)) > 1:
            answer, group = normalize_vqa(answer), [normalize_vqa(one) for one in group]
        same = group.count(answer)
        others = [same - (one == answer) for one in group]
        scores.append(sum(min(1, found / _ENOUGH) for found in others) / len(others))
    return Score.mean(scores)


def normalize_vqa(text: str) -> str:
    """Return the text that VQA accuracy compares where people differ."""
    parts = _COMMA_IN_NUMBER.search(text) is not None
    made = text
    for mark in _MARKS:
        beside_a_space = f"{mark} " in text or f" {mark}" in text
        made = made.replace(mark, "" if beside_a_space or parts else " ")
    made = _PERIOD.sub("", made)
    kept = (_DIGITS.get(word, word) for word in made.lower().split())
    return " ".join(_MENDED.get(word, word) for word in kept if word not in _ARTICLES)


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
