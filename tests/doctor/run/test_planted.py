"""Every fault that is planted into a healthy model is named, and nothing else is."""

import copy
import dataclasses
import io
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ojito.model.decoder
import ojito.processor.processor
from ojito.config import ImageConfig, PromptConfig, ViTConfig
from ojito.doctor import examine
from ojito.model.masks import may_attend
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.processor.images import OpenedImage
from ojito.records import IGNORE, IMAGE, PADDING, Sample, Turn
from tests.doctor.conftest import make_pipe, train
from tests.model.conftest import STYLES


@pytest.fixture(autouse=True)
def unprepared(monkeypatch):
    """A model that is prepared is built anew, of weights alone: faults in code would be mended by that."""
    monkeypatch.setattr(Pipeline, "prepared", lambda pipe, once=False: pipe.model)


def wrap(owner, name, change):
    """Put a function in place of a method, which gets the method first."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *args, **keywords: change(method, *args, **keywords))


def with_prompt(pipe, **settings):
    """The model with another processor: its recipe, if it has one, stays."""
    processor = pipe.processor
    prompt = dataclasses.replace(processor.config.prompt, **settings)
    config = dataclasses.replace(processor.config, prompt=prompt)
    pipe.processor = Processor(config, processor.tokenizer, processor.image_size, processor.image_tokens, 192)


def change_rows(pipe, change):
    """Change every row of training."""

    def write(method, sample, training, *args):
        row = method(sample, training, *args)
        if training:
            change(row)
        return row

    wrap(pipe.processor._writer, "write", write)


# ---------------------------------------------------------------------------------------------------------- the faults


def weight_is_nan(pipe, patch):
    pipe.model.decoder.blocks[1].mlp.down.weight.data[0, 0] = float("nan")
    return "weights"


def layer_divides_by_zero(pipe, patch):
    pipe.model.decoder.blocks[1].register_forward_hook(lambda module, args, hidden: hidden / 0)
    return "hidden norms"


def layer_explodes(pipe, patch):
    pipe.model.decoder.blocks[1].mlp.down.weight.data *= 1e6
    return "hidden norms"


def tower_is_dead(pipe, patch):
    pipe.model.vision.stem.weight.data.zero_()
    return "connector"


def connector_is_dead(pipe, patch):
    pipe.model.connector.project[2].weight.data.zero_()
    pipe.model.connector.project[2].bias.data.fill_(0.3)
    return "connector"


def connector_is_faint(pipe, patch):
    for layer in (pipe.model.connector.project[0], pipe.model.connector.project[2]):
        layer.weight.data *= 1e-3
    return "connector"


def image_is_not_attended_to(pipe, patch):
    """Text may not attend to the image's tokens, which are the first ones, although they are there."""
    count = pipe.model.config.image_tokens

    def blinded(queries, keys, *args):
        hidden = (keys.positions < count)[:, None, None, :] & (queries.positions >= count)[:, None, :, None]
        return may_attend(queries, keys, *args) & ~hidden

    patch.setattr(ojito.model.decoder, "may_attend", blinded)
    return "image"


def padding_is_attended_to(pipe, patch):
    def open_to_padding(queries, keys, *args):
        return may_attend(queries, keys, *args) | (keys.segments == PADDING)[:, None, None, :]

    patch.setattr(ojito.model.decoder, "may_attend", open_to_padding)
    return "padding"


def positions_count_the_padding(pipe, patch):
    def features(method, batch, *args, **keywords):
        counted = torch.arange(batch.tokens.shape[1], device=batch.tokens.device).expand_as(batch.tokens)
        # A prompt that is shifted by padding has other distances to nothing: stretch them, as a wrong stride would.
        return method(dataclasses.replace(batch, positions=counted + (counted - batch.positions)), *args, **keywords)

    wrap(pipe.model, "features", features)
    pipe.model.decoder.positions = nn.Embedding(400, 24)  # learned ones: rotary ones do not mind a shift
    return "padding"


def later_tokens_are_seen(pipe, patch):
    def open_to_all(queries, keys, *args):
        own = (queries.segments[:, :, None] == keys.segments[:, None, :])[:, None]
        return may_attend(queries, keys, *args) | (own & (keys.segments != PADDING)[:, None, None, :])

    patch.setattr(ojito.model.decoder, "may_attend", open_to_all)
    return "causality"


def decoding_steps_begin_at_the_first_position(pipe, patch):
    def features(method, batch, cache=None, **keywords):
        if cache is not None and batch.tokens.shape[1] == 1:
            batch = dataclasses.replace(batch, positions=torch.zeros_like(batch.positions))
        return method(batch, cache, **keywords)

    wrap(pipe.model, "features", features)
    return "decoding"


def visual_tokens_are_reversed(pipe, patch):
    wrap(pipe.model, "merge", lambda merge, tokens, visual: merge(tokens, visual if visual is None else visual.flip(0)))
    return "image order"


def images_are_sorted(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].flip(0)})
    return "image order"


def visual_tokens_are_scaled(pipe, patch):
    wrap(pipe.model, "merge", lambda merge, tokens, visual: merge(tokens, visual if visual is None else 5 * visual))
    return "image order"


def too_few_placeholders(pipe, patch):
    old = pipe.processor
    pipe.processor = Processor(old.config, old.tokenizer, old.image_size, old.image_tokens - 1, 192)
    return "placeholders"


def vocabulary_is_too_large(pipe, patch):
    pipe.model.decoder.embedding = nn.Embedding(200, 24)
    pipe.model.config = dataclasses.replace(
        pipe.model.config, decoder=dataclasses.replace(pipe.model.config.decoder, vocab_size=200)
    )
    return "vocabulary"


def targets_are_not_shifted(pipe, patch):
    def change(row):
        row.targets = [IGNORE if t == IGNORE else row.tokens[i] for i, t in enumerate(row.targets)]
        row.targets = [IGNORE if t == IMAGE else t for t in row.targets]

    change_rows(pipe, change)
    return "targets"


def targets_are_shifted_twice(pipe, patch):
    def change(row):
        row.targets = [*row.targets[1:], IGNORE]

    change_rows(pipe, change)
    return "targets"


def prompt_is_learned(pipe, patch):
    def change(row):
        follow = [*row.tokens[1:], IGNORE]
        row.targets = [follow[i] if t == IGNORE and follow[i] >= 0 else t for i, t in enumerate(row.targets)]

    change_rows(pipe, change)
    return "prompt loss"


def padding_is_learned(pipe, patch):
    def batch(method, *args, **keywords):
        made = method(*args, **keywords)
        made.targets[made.segments == PADDING] = 0
        return made

    wrap(pipe.processor, "batch", batch)
    return "prompt loss"


def answers_do_not_end(pipe, patch):
    def change(row):
        for column in (row.tokens, row.targets, row.positions, row.segments, row.prefix):
            column.pop()
        row.targets[-1] = IGNORE

    change_rows(pipe, change)
    return "eos"


def bos_is_missing(pipe, patch):
    pipe.processor._writer._bos = ()
    return "bos"


def bos_is_doubled(pipe, patch):
    pipe.processor._writer._bos = (pipe.processor.tokenizer.bos,) * 2
    return "bos"


def separator_merges(pipe, patch):
    processor = pipe.processor
    library = processor.tokenizer.library()
    library.add_tokens(["?\n"])
    processor = Processor(processor.config, Tokenizer(library), 16, processor.image_tokens, 192)
    processor._writer.config = dataclasses.replace(processor.config.prompt, joined=True)
    pipe.processor = processor
    return "separator"


def template_is_another(pipe, patch):
    with_prompt(pipe, separator=" Answer:", user="Question: ")
    return "template"


def pixels_are_in_0_1(pipe, patch):
    config = ImageConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    pipe.processor = pipe.processor.with_image(mean=config.mean, std=config.std)
    return "pixel statistics"


def pixels_are_in_0_255(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": (images(rows)["images"] + 1) * 127.5})
    return "pixel statistics"


def channels_are_exchanged(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].flip(1)})
    return "channels"


def image_is_upside_down(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].flip(2)})
    return "upright"


def image_is_mirrored(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].flip(3)})
    return "upright"


def height_and_width_are_exchanged(pipe, patch):
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].transpose(2, 3)})
    return "upright"


def exif_is_ignored(pipe, patch):
    def opened(image, *args):
        image = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
        rgb = Image.fromarray(np.array(image.convert("RGB")))
        return OpenedImage(rgb, *rgb.size)

    patch.setattr("ojito.processor.pixels.open_scaled", opened)
    return "upright"


def tied_head_is_broken(pipe, patch):
    assert pipe.model.config.decoder.tied_head
    pipe.model.decoder.untied_head = nn.Linear(24, 320, bias=False)
    return "head"


def head_is_empty(pipe, patch):
    config = pipe.model.config
    pipe.model.config = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, tied_head=False))
    pipe.model.decoder.untied_head = nn.Linear(24, 320, bias=False)
    nn.init.zeros_(pipe.model.decoder.untied_head.weight)
    return "head"


FAULTS = [one for one in list(globals().values()) if isinstance(one, types.FunctionType) and "pipe" in
          one.__code__.co_varnames[:1] and one.__code__.co_varnames[:2] == ("pipe", "patch")]  # fmt: skip


@pytest.mark.parametrize("style", ["qwen2", "gpt2", "gemma"])
@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_planted_fault_alone_is_named(plant, style, monkeypatch):
    pipe = make_pipe(style, recipe=True)
    assert STYLES[style].tied_head
    expected = plant(pipe, monkeypatch)
    report = examine(pipe, limit=8)
    assert report.alarms == (expected,), report.to_dict()
    assert all(one.remedy and one.says for one in report.findings if one.severity == "alarm")


def test_there_are_many_faults():
    assert len(FAULTS) > 25


def test_model_that_learned_without_looking_is_named(blind, cards):
    report = examine(blind, cards)
    assert report.alarms == ("image",)
    assert "without it" in report.of("image").says


def test_good_decoder_with_a_new_connector_has_only_not_learned_to_look(blind, cards):
    pipe = Pipeline(copy.deepcopy(blind.model), blind.processor)
    for name, parameter in pipe.model.connector.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    report = examine(pipe, cards)
    assert report.healthy
    assert report.of("image").severity == "note"


@pytest.mark.parametrize("shift", [-1, 1])
def test_logits_that_learned_a_neighbours_target_are_named(cards, shift):
    report = examine(train(cards, shift=shift), cards)
    assert report.alarms == ("alignment",)
    assert f"{shift:+d} tokens away" in report.of("alignment").says


def test_gemma_without_bos_is_named():
    pipe = make_pipe("gemma", prompt=PromptConfig(bos=False))
    report = examine(pipe, limit=4)
    assert report.alarms == ("bos",)
    assert "Gemma" in report.of("bos").says


def test_joined_prompt_of_a_recipe_is_a_note_at_most():
    pipe = make_pipe(prompt=PromptConfig(joined=True))
    library = pipe.processor.tokenizer.library()
    library.add_tokens(["?\n"])
    pipe.processor = Processor(pipe.processor.config, Tokenizer(library), 16, pipe.processor.image_tokens, 192)
    report = examine(pipe, limit=4)
    assert report.healthy
    assert report.of("separator").severity == "note"


CLIP = ViTConfig(image_size=16, patch_size=8, width=16, layers=1, heads=2, mlp_dim=32, activation="quick_gelu",
                 class_token=True, pre_norm=True)  # fmt: skip
SIGLIP = ViTConfig(image_size=16, patch_size=8, width=16, layers=1, heads=2, mlp_dim=32, activation="gelu_tanh")
OPENAI = ImageConfig(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))


@pytest.mark.parametrize(
    ("tower", "image", "family"),
    [
        (CLIP, ImageConfig(), "CLIP"),
        (SIGLIP, OPENAI, "SigLIP"),
        (CLIP, OPENAI, ""),
        (SIGLIP, ImageConfig(), ""),
    ],
    ids=["CLIP with SigLIP's", "SigLIP with CLIP's", "CLIP", "SigLIP"],
)
def test_statistics_of_another_tower_are_named_without_a_recipe(tower, image, family):
    report = examine(make_pipe(tower=tower, image=image), limit=4)
    assert report.alarms == (("pixel statistics",) if family else ())
    if family:
        assert f"{family} expects" in report.of("pixel statistics").says
        assert "which are those of" in report.of("pixel statistics").says


def test_channels_are_told_from_statistics_that_differ_by_channel():
    pipe = make_pipe(image=OPENAI, recipe=True)
    wrap(pipe.processor, "_images", lambda images, rows: {"images": images(rows)["images"].flip(1)})
    assert examine(pipe, limit=4).alarms == ("channels",)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad", "tiles"])
def test_squares_of_images_far_from_square_are_a_note(fit):
    wide = [
        Sample([Image.new("RGB", (64, 16), (60 * n, 0, 0))], turns=(Turn("what colour?", ("red",)),)) for n in range(4)
    ]
    pipe = make_pipe(image=ImageConfig(fit=fit, longest_side=32 * (fit == "tiles")))
    report = examine(pipe, wide, own=False)
    found = report.of("proportions")
    assert report.alarms == ()
    assert found.evidence == {"aspect": 4.0, "fit": fit}
    assert found.severity == ("healthy" if fit == "tiles" else "note")
    assert ("processor.image.fit=tiles" in found.remedy) == (fit != "tiles")
    assert examine(pipe, limit=4).of("proportions").severity == "healthy"  # of scenes, which are square


def test_what_needs_a_broken_part_is_not_examined(pipe):
    pipe.model.decoder.embedding.weight.data[5] = float("inf")
    report = examine(pipe, limit=4)
    assert report.alarms == ("weights",)
    assert report.of("image").says == "not before hidden norms is healthy"
    assert report.of("weights").evidence["not_finite"] == {"decoder.embedding.weight": 24}


def test_model_that_fails_is_a_finding(pipe):
    def fail(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    pipe.model.connector.forward = fail
    report = examine(pipe, limit=4)
    assert report.alarms == ("placeholders",)
    assert "mat1 and mat2" in report.of("placeholders").says
