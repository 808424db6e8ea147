"""What a run begins with."""

import dataclasses
import itertools

import pytest
import torch

from ojito.config import TokenizerConfig
from ojito.data import Scenes, open_data
from ojito.settings import ConfigError
from ojito.training import prepare


def test_prepare_learns_the_tokenizer_from_the_training_text(recipe):
    _, processor = prepare(recipe, open_data(recipe), "cpu")
    encode = processor.tokenizer.encode
    assert processor.decode(encode("zebra quokka")[:5]) == "zebra"
    assert set(encode("xyz")) & set(encode("x"))  # never met: all the unknown token
    assert processor.tokenizer.size == len(set("zebraquokkacaption\n")) + 4


def test_prepare_makes_a_model_and_a_processor_that_fit(recipe):
    model, processor = prepare(recipe, open_data(recipe), "cpu")
    assert processor.image_size == 16
    assert processor.image_tokens == recipe.model.image_tokens
    batch = processor(open_data(recipe).samples("train"), training=True)
    assert model(batch).shape == (*batch.tokens.shape, recipe.model.decoder.vocab_size)


def test_prepare_draws_the_same_weights_for_the_same_seed_alone(recipe):
    def weight(seed):
        config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed))
        return prepare(config, open_data(config), "cpu")[0].decoder.embedding.weight

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))


def test_prepare_limits_the_tokenizer_to_its_vocab_size(recipe):
    tokenizer = TokenizerConfig(kind="characters", vocab_size=9)
    config = dataclasses.replace(recipe, processor=dataclasses.replace(recipe.processor, tokenizer=tokenizer))
    assert prepare(config, open_data(config), "cpu")[1].tokenizer.size == 9


def test_prepare_refuses_a_tokenizer_that_is_larger_than_the_decoders_vocabulary(recipe, tmp_path):
    _, processor = prepare(recipe, open_data(recipe), "cpu")
    processor.tokenizer.save(tmp_path / "tokenizer.json")
    tokenizer = TokenizerConfig(kind="file", path=str(tmp_path / "tokenizer.json"))
    decoder = dataclasses.replace(recipe.model.decoder, vocab_size=8)
    config = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, decoder=decoder),
        processor=dataclasses.replace(recipe.processor, tokenizer=tokenizer),
    )
    size = processor.tokenizer.size
    with pytest.raises(ConfigError, match=rf"vocab_size: 8 is less than the tokenizer's {size} entries; use {size} or"):
        prepare(config, open_data(config), "cpu")


def test_prepare_reads_the_first_samples_of_a_source_without_end(tiny_config, monkeypatch):
    monkeypatch.setattr("itertools.islice", lambda rows, count, islice=itertools.islice: islice(rows, min(count, 5)))
    _, processor = prepare(tiny_config, Scenes(), "cpu")
    assert processor.tokenizer.size > 10


def test_prepare_names_a_device_that_is_not_there(recipe):
    with pytest.raises(ValueError, match="'gpu' is not one of"):
        prepare(recipe, open_data(recipe), "gpu")


def test_prepare_and_open_data_take_a_source_of_ones_own(recipe):
    rows = open_data(recipe).rows

    class Mine:
        name, problems = "mine", ()

        def samples(self, split, limit=None):
            return rows

    _, processor = prepare(recipe, Mine(), "cpu")
    assert processor.decode(processor.tokenizer.encode("zebra")) == "zebra"
