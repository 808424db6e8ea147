import math

import pytest
import torch

from ojito.errors import OjitoError
from ojito.probe.forced import answer_logits, force
from ojito.probe.words import nearest_words, said_tokens, word_probabilities


def test_tokens_have_the_probabilities_of_the_model(pipe, forced):
    with torch.no_grad():
        expected = answer_logits(pipe.model, forced.batch(pipe.processor), forced)[0].softmax(dim=-1)
    said = said_tokens(pipe.model, pipe.processor, forced, alternatives=4)
    assert "".join(token.text for token in said) == "red kite"
    for row, token in zip(expected, said, strict=True):
        assert token.probability == pytest.approx(float(row[token.token]))
        assert token.text not in [text for text, _ in token.alternatives]
        assert len(token.alternatives) == 4
        others = row.clone()
        others[token.token] = 0
        assert [p for _, p in token.alternatives] == pytest.approx(
            others[: pipe.processor.tokenizer.size].topk(4).values.tolist()
        )


def test_generated_tokens_are_likelier_than_their_alternatives(pipe, image):
    forced = force(pipe.processor, image, "what?", pipe.ask(image, "what?", max_new_tokens=4).tokens)
    for token in said_tokens(pipe.model, pipe.processor, forced):
        assert token.probability >= token.alternatives[0][1]


def test_probability_of_a_word_is_the_product_of_its_tokens(pipe, forced):
    said = said_tokens(pipe.model, pipe.processor, forced)
    words = word_probabilities(pipe.model, forced.batch(pipe.processor), forced)
    assert [word.text for word, _ in words] == ["red", "kite"]
    for word, probability in words:
        assert probability == pytest.approx(math.prod(said[i].probability for i in word.tokens), rel=1e-4)


def test_visual_token_that_is_a_word_s_embedding_is_nearest_to_it(pipe, forced, hooks):
    model, tokenizer = pipe.model, pipe.processor.tokenizer
    (letter,) = tokenizer.encode("k")
    with torch.no_grad():
        model.decoder.embedding.weight[letter] *= 10  # so that no other row is nearer to it than itself
        model.connector.project.weight.zero_()
        model.connector.project.bias.copy_(model.decoder.embedding.weight[letter])
    nearest = nearest_words(model, pipe.processor, forced, count=2)
    assert [token[0][0] for token in nearest] == ["k"] * 4
    assert all(len(token) == 2 and token[0][1] > token[1][1] for token in nearest)
    assert hooks(model) == 0


def test_nearest_words_are_those_of_the_layer(pipe, forced, hooks):
    found = [nearest_words(pipe.model, pipe.processor, forced, layer, 1) for layer in (None, 0, 1)]
    assert found[0] != found[1] != found[2]
    with torch.no_grad():
        last = pipe.model(forced.batch(pipe.processor))[0, :4].softmax(dim=-1)
    likeliest = last[:, : pipe.processor.tokenizer.size].max(dim=-1).values  # no text has the ids beyond
    assert [p for ((_, p),) in found[2]] == pytest.approx(likeliest.tolist(), rel=1e-4)
    assert hooks(pipe.model) == 0


def test_layer_that_is_not_there_is_refused(pipe, forced):
    with pytest.raises(OjitoError, match="layer: 5 is none of the decoder's 2"):
        nearest_words(pipe.model, pipe.processor, forced, 5)
