import re

import pytest
from PIL import Image

from ojito.config import ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.data import Source
from ojito.data.overview import overview
from ojito.data.page import is_learned, page
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample, Turn


@pytest.fixture
def sample(tmp_path):
    Image.new("RGB", (640, 480)).save(tmp_path / "a.jpg")
    turns = (Turn("what?", ("a <b> dog",)), Turn("", ("grass",), "caption"))
    return Sample([tmp_path / "a.jpg"], turns=turns, origin="rows:1")


def processor(**prompt):
    config = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"), prompt=PromptConfig(**prompt))
    tokenizer = Tokenizer.train(config.tokenizer, ["what?a <b> dog grass caption\n"], 100)
    return Processor(config, tokenizer, image_size=8, image_tokens=4)


def html(sample, made=None):
    return page(overview(Source("rows.jsonl", [sample], form="JSON Lines")), "the table", [sample], made)


def lines(text):
    """The tokens of each line of the page; those that are learned in brackets."""
    found = re.findall(r'<div class="tokens">(.*?)</div>', text, re.S)
    spans = [re.findall(r"<span( class=\"learned\")?>(.*?)</span>", line, re.S) for line in found]
    return ["".join(f"[{text}]" if learned else text for learned, text in line) for line in spans]


def test_page_shows_images_and_escaped_texts(sample):
    text = html(sample)
    assert "a &lt;b&gt; dog" in text
    assert "<b>" not in text
    assert text.count("data:image/jpeg;base64,") == 1
    assert "rows:1, train" in text
    assert 'class="tokens"' not in text


def test_page_fits_a_phone(sample):
    text = html(sample, processor())
    assert 'name="viewport" content="width=device-width' in text
    assert "minmax(min(100%, 320px), 1fr)" in text
    assert "overflow-wrap: anywhere" in text
    assert "pre-wrap" in text


def test_page_shows_which_tokens_are_learned(sample):
    assert lines(html(sample, processor(turns="blind"))) == [
        "image: 4 tokens&lt;bos&gt;",
        "what?↵\n[a][ ][&lt;][b][&gt;][ ][d][o][g][&lt;eos&gt;]",
        "caption↵\n[g][r][a][s][s][&lt;eos&gt;]",
    ]


def test_chat_is_one_line(sample):
    (line,) = lines(html(sample, processor(turns="chat")))
    assert line.endswith("[&lt;eos&gt;]caption↵\n[g][r][a][s][s][&lt;eos&gt;]")


def test_loss_on_questions_is_shown(sample):
    assert "[h][a][t]" in lines(html(sample, processor(loss="all")))[0]


def test_learned_tokens_are_the_targets_of_training(sample):
    row = processor(turns="blind").row(sample, training=True)
    learned = [row.tokens[place] for place in range(len(row.tokens)) if is_learned(row, place)]
    assert learned == [target for target in row.targets if target != -100]


def test_row_that_training_would_refuse_says_so(sample):
    assert "more than processor.prompt.max_tokens 5" in html(sample, processor(max_tokens=5))
    (sample.images[0]).write_text("x")
    assert "is not an image" in html(sample)


def test_row_that_training_divides_is_shown_as_its_first_part(sample):
    many = Sample(sample.images, turns=tuple(Turn("what?", ("a dog grass",)) for _ in range(20)), origin="rows:1")
    text = html(many, processor(turns="blind", max_tokens=100))
    assert "training divides it" in text
    assert "raise the limit" not in text
    assert 2 <= len(lines(text)) < 12
    assert "training divides it" not in html(sample, processor(turns="blind", max_tokens=100))


def test_row_that_nothing_can_be_made_of_says_why(sample):
    assert "raise the limit" in html(sample, processor(turns="blind", max_tokens=3))
