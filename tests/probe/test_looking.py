import dataclasses

import numpy as np
import pytest
import torch

from ojito.config import ImageConfig, NoVisionConfig, PerceiverConfig, PromptConfig
from ojito.errors import OjitoError
from ojito.inference import quantize
from ojito.probe.forced import force
from ojito.probe.looking import look, usual_method
from ojito.probe.methods import METHODS
from tests.noise import noise
from tests.pipeline.toy import CONFIG, make
from tests.probe.conftest import LOCAL


@pytest.mark.parametrize("method", METHODS)
def test_method_lays_a_map_over_the_image_and_leaves_the_model_as_it_was(pipe, method, hooks):
    image = noise((40, 20), seed=1)
    forced = force(pipe.processor, image, "what?", "red kite")
    batch = forced.batch(pipe.processor)
    pipe.model.train()
    pipe.model.decoder.eval()
    before = {name: module.training for name, module in pipe.model.named_modules()}
    with torch.no_grad():
        logits = pipe.model(batch)
    heat = look(pipe.model, pipe.processor, image, forced, forced.words[1], method, cells=5)
    assert heat.values.shape == {"gradient": (16, 16), "occlusion": (5, 5)}.get(method, (2, 2))
    assert heat.covers == (0, 0, 40, 20)
    assert np.isfinite(heat.values).all()
    assert heat.values.max() > 0
    assert hooks(pipe.model) == 0
    assert {name: module.training for name, module in pipe.model.named_modules()} == before
    with torch.no_grad():
        assert torch.equal(pipe.model(batch), logits)


def test_methods_differ(pipe, image, forced):
    maps = [look(pipe.model, pipe.processor, image, forced, forced.words[0], method) for method in METHODS[:3]]
    shares = [heat.values / heat.values.sum() for heat in maps]
    assert not any(np.allclose(shares[i], shares[j], atol=1e-3) for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("how", [{"layer": 1}, {"head": 1}])
def test_layer_and_head_change_the_map(pipe, image, forced, how):
    given = (pipe.model, pipe.processor, image, forced, forced.words[0], "attention")
    assert not np.allclose(look(*given).values, look(*given, **how).values)


@pytest.mark.parametrize("method", METHODS)
def test_size_is_that_of_the_image_in_full(pipe, image, forced, method):
    heat = look(pipe.model, pipe.processor, image, forced, forced.words[0], method, size=(160, 320))
    assert (heat.width, heat.height, heat.covers) == (160, 320, (0, 0, 160, 320))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"method": "atention"}, "method: 'atention' is none; did you mean attention?"),
        ({"method": "rollout", "layer": 1}, "layer: is for the method attention, not rollout; leave it out"),
        ({"method": "occlusion", "head": 0}, "head: is for the method attention, not occlusion; leave it out"),
        ({"method": "attention", "layer": 9}, "layer: 9 is none of the decoder's 2; use 0 to 1"),
    ],
)
def test_what_a_method_does_not_have_is_refused(pipe, image, forced, how, said):
    with pytest.raises(OjitoError) as error:
        look(pipe.model, pipe.processor, image, forced, forced.words[0], **how)
    assert str(error.value) == said


def test_tokens_without_a_place_leave_the_methods_of_the_image(image):
    pipe = make(
        dataclasses.replace(
            CONFIG, model=dataclasses.replace(CONFIG.model, connector=PerceiverConfig(queries=3, heads=2))
        )
    )
    forced = force(pipe.processor, image, "what?", "red")
    for method in METHODS:
        if method in ("gradient", "occlusion"):
            assert look(pipe.model, pipe.processor, image, forced, forced.words[0], method).values.max() > 0
        else:
            with pytest.raises(OjitoError, match="have no place in the image"):
                look(pipe.model, pipe.processor, image, forced, forced.words[0], method)


@pytest.mark.parametrize("whole", ["last", "first", "none"])
def test_maps_of_tiles_lie_where_occlusion_finds_the_only_part_that_is_seen(whole):
    """Of two tiles, the model sees the lower left quarter of the second one alone: columns 2 and 3 of four, below."""
    config = dataclasses.replace(
        LOCAL.processor, image=ImageConfig(fit="tiles", longest_side=32), prompt=PromptConfig(whole=whole)
    )
    pipe = make(dataclasses.replace(LOCAL, processor=config))
    tile = 1 + (whole == "first")

    def keep_one(module, args, visual):
        kept = torch.zeros_like(visual)
        kept[tile :: 2 + (whole != "none"), 2] = visual[tile :: 2 + (whole != "none"), 2]
        return kept

    pipe.model.connector.register_forward_hook(keep_one)
    image = noise((32, 16), seed=4)
    for letter in "abcdefgh":
        forced = force(pipe.processor, image, "what?", letter)
        given = (pipe.model, pipe.processor, image, forced, forced.words[0])
        gradient = look(*given, "gradient").values
        assert gradient.shape == (16, 32)
        assert gradient[8:, 16:24].sum() == gradient.sum() > 0
        relevance = look(*given, "relevance").values
        assert relevance.shape == (2, 4)
        assert relevance[1, 2] == relevance.sum()
        found = look(*given, "occlusion", cells=4).values  # of 8 x 4 pixels
        assert np.abs(found[:, 2][2:]).min() > 1e-6
        assert np.abs(found).sum() == pytest.approx(np.abs(found[2:, 2]).sum(), abs=1e-5)


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_quantized_model_is_looked_at_in_bfloat16(pipe, image, form):
    pipe.model.to(torch.bfloat16)
    quantize(pipe.model, form)
    forced = force(pipe.processor, image, "what?", "red")
    for method in METHODS:
        assert look(pipe.model, pipe.processor, image, forced, forced.words[0], method).values.max() > 0


def test_usual_method_is_relevance_where_visual_tokens_have_a_place(pipe):
    config = pipe.model.config
    assert usual_method(config) == "relevance"
    reads_all = dataclasses.replace(config, connector=PerceiverConfig(queries=3, heads=2))
    assert usual_method(reads_all) == "occlusion"
    with pytest.raises(OjitoError, match="reads text alone"):
        usual_method(dataclasses.replace(config, vision=NoVisionConfig()))
