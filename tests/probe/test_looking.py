import dataclasses

import numpy as np
import pytest
import torch

from ojito.commands.arguments import METHODS as TYPED
from ojito.config import PerceiverConfig
from ojito.errors import OjitoError
from ojito.probe.forced import force
from ojito.probe.looking import METHODS, look
from tests.noise import noise
from tests.pipeline.toy import CONFIG, make


def test_command_has_every_method():
    assert TYPED == METHODS


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
