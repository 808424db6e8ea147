"""Answers to questions and captions, alone and in batches."""

import dataclasses

import pytest
import torch

from ojito.answering import Answer
from ojito.generate import Greedy, Temperature
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.processor import RowError
from ojito.records import Sample, Turn
from tests.pipeline.toy import CONFIG, make, says


def test_answers_are_their_text(pipe, image):
    answer = pipe.ask(image, "what is it", max_new_tokens=5)
    assert isinstance(answer, Answer)
    assert str(answer) == answer.text == pipe.processor.decode(answer.tokens)
    assert len(answer.tokens) == 5
    assert answer.finish == "length"


def test_ask_and_caption_are_generate_for_one_image(pipe, image):
    ask, caption = pipe.generate([Sample([image], "what"), Sample([image])], max_new_tokens=9)
    assert pipe.ask(image, "what", max_new_tokens=9) == ask
    assert pipe.caption(image, max_new_tokens=9) == caption
    assert ask != caption


def test_images_come_as_paths_bytes_or_images(pipe, image, tmp_path):
    path = tmp_path / "photo.png"
    image.save(path)
    answers = [pipe.ask(form, "what", max_new_tokens=9) for form in (path, str(path), path.read_bytes(), image)]
    assert len(set(answers)) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("sampler", [Greedy(), Temperature()], ids=str)
def test_batch_size_changes_no_answer(pipe, image, batch_size, sampler):
    samples = [Sample([image], "a" * n) for n in (5, 1, 9, 3)] + [Sample(turns=(Turn("b", ("c",)), Turn("d")))]
    options = {"max_new_tokens": 12, "sampler": sampler, "seed": 3}
    assert pipe.generate(samples, batch_size=batch_size, **options) == pipe.generate(samples, **options)


def test_no_samples_give_no_answers(pipe):
    assert pipe.generate([]) == []


def test_white_space_that_the_prompt_puts_before_an_answer_is_not_part_of_it(monkeypatch, image):
    prompt = dataclasses.replace(CONFIG.processor.prompt, before_answer=" ")
    pipe = make(dataclasses.replace(CONFIG, processor=dataclasses.replace(CONFIG.processor, prompt=prompt)))
    says(monkeypatch, pipe, " red ball")
    assert pipe.ask(image, "what").text == "red ball"
    assert list(pipe.stream(image, "what")) == list("red ball")


def test_repr_tells_what_there_is(pipe):
    assert repr(pipe) == "Pipeline('toy': 34,592 parameters, float32 on cpu, image 16 x 16 in 4 tokens)"
    assert "'mine'" in repr(Pipeline(pipe.model.bfloat16(), pipe.processor, name="mine"))
    assert "bfloat16 on cpu" in repr(pipe)


def test_lone_sample_is_an_error(pipe):
    with pytest.raises(ValueError, match=r"write \[sample\]"):
        pipe.generate(Sample(prompt="a"))


def test_batch_size_of_zero_is_an_error(pipe):
    with pytest.raises(ValueError, match="batch_size: 0 answers nothing"):
        pipe.generate([Sample(prompt="a")], batch_size=0)


def test_device_moves_the_model(pipe):
    assert Pipeline(pipe.model, pipe.processor, device="cpu").device == torch.device("cpu")


def test_row_that_is_too_long_for_the_decoder_is_named(pipe, image, tmp_path):
    pipe.save(tmp_path)
    pipe = load(tmp_path, device="cpu")
    most = pipe.model.config.decoder.max_positions
    sample = Sample([image] * most, "what", origin="rows:3")
    with pytest.raises(RowError, match=f"^rows:3: needs .* and the decoder has {most}; use fewer images"):
        pipe.generate([sample])
