import dataclasses

import pytest
import torch

from ojito.config import ResNetConfig
from ojito.model import VLM
from ojito.trainer import last_good
from ojito.trainer.last_good import LastGood, is_finite, moving_buffers


@pytest.fixture
def batch(tiny_processor, samples):
    return tiny_processor(samples, training=True)


def test_weights_without_an_update_need_no_proof(tiny_model):
    good = LastGood(tiny_model)
    tiny_model.decoder.norm.weight.data.fill_(float("nan"))
    assert good.proves()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_ruined_weights_are_found_out_and_taken_back(tiny_model, batch, value):
    good = LastGood(tiny_model)
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    good.keep(batch)
    assert good.proves()
    for parameter in tiny_model.parameters():
        parameter.data.fill_(value)  # 1e38 is finite, and what a model computes from it is not
    assert not good.proves()
    assert good.restore()
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_model.state_dict().items())


def test_copy_is_that_of_the_last_call_and_holds_the_statistics(tiny_config, batch):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
    model = VLM(dataclasses.replace(tiny_config.model, vision=resnet))
    good = LastGood(model)
    for value in (1.0, 2.0, 3.0):
        for tensor in (model.decoder.norm.weight.data, *model.buffers()):
            tensor.fill_(value)
        if value < 3:
            good.keep(batch)
    assert good.restore()
    assert {float(tensor.max()) for tensor in (model.decoder.norm.weight.detach(), *model.buffers())} == {2.0}


def test_frozen_part_is_not_copied(tiny_model, batch):
    tiny_model.decoder.requires_grad_(False)
    good = LastGood(tiny_model)
    good.keep(batch)
    tiny_model.decoder.norm.weight.data.fill_(7)
    good.restore()
    assert float(tiny_model.decoder.norm.weight.mean()) == 7


def test_large_model_is_tried_although_there_is_no_copy_of_it(tiny_model, batch, monkeypatch):
    monkeypatch.setattr(last_good, "MOST", 1000)
    good = LastGood(tiny_model)
    good.keep(batch)
    assert good.proves()
    tiny_model.decoder.norm.weight.data.fill_(float("nan"))
    assert not good.proves()
    assert not good.restore()


def test_finite_means_all_numbers():
    assert is_finite([])
    assert is_finite([torch.ones(3), torch.arange(2)])
    assert not is_finite([torch.ones(3), torch.tensor([1.0, float("inf")])])


def test_buffers_move_in_training_mode_only(tiny_config):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
    model = VLM(dataclasses.replace(tiny_config.model, vision=resnet))
    norms = [module for module in model.vision.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    moving = moving_buffers(model)
    assert all(any(buffer is one for one in moving) for norm in norms for buffer in norm.buffers())
    model.vision.eval()
    assert not any(buffer is one for one in moving_buffers(model) for buffer in model.vision.buffers())
