import dataclasses
import math

import pytest
import torch

from ojito.trainer import Step, TrainState, movement
from ojito.trainer.movement import SUMS, Movement, sketch
from ojito.trainer.optim import set_trainable


def step(finite=True, **norms):
    return Step(1.0, 1, 1, finite, norms)


def add(part, scale, only=""):
    """Add noise to the weights of a part; returns the norm of what was added, relative to theirs."""
    change = weight = 0.0
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            weight += float(parameter.square().sum())
            if only in name:
                noise = torch.randn(parameter.shape) * scale
                parameter.add_(noise)
                change += float(noise.square().sum())
    return math.sqrt(change / weight)


def test_change_of_each_part_is_the_norm_of_what_was_added(tiny_model):
    moved = Movement(tiny_model)
    vision, decoder = add(tiny_model.vision, 1e-3), add(tiny_model.decoder, 0.1)
    found = moved.parts()
    assert found["vision"].change == pytest.approx(vision, rel=0.05)
    assert found["decoder"].change == pytest.approx(decoder, rel=0.05)
    assert found["connector"].change == 0.0
    assert found["connector"].still == tuple(f"connector.{name}" for name, _ in tiny_model.connector.named_parameters())
    assert found["connector"].tensors == len(found["connector"].still)
    assert found["vision"].still == found["decoder"].still == ()


def test_tensors_that_did_not_move_are_named(tiny_model):
    moved = Movement(tiny_model)
    add(tiny_model.vision, 0.1, only="weight")
    still = moved.parts()["vision"].still
    assert still
    assert not [name for name in still if "weight" in name]


def test_frozen_part_was_not_to_learn(tiny_model, tiny_config):
    set_trainable(tiny_model, dataclasses.replace(tiny_config.train, freeze=("vision",)))
    found = Movement(tiny_model).parts()["vision"]
    assert (found.learned, found.tensors, found.still, found.change) == (0, 0, (), None)
    assert found.parameters == sum(p.numel() for p in tiny_model.vision.parameters())


def test_part_that_begins_to_learn_within_the_run_is_measured_from_there(tiny_model, tiny_config):
    set_trainable(tiny_model, dataclasses.replace(tiny_config.train, freeze=("vision",)))
    moved = Movement(tiny_model)
    set_trainable(tiny_model, tiny_config.train)
    moved.note_learning()
    change = add(tiny_model.vision, 0.1)
    set_trainable(tiny_model, dataclasses.replace(tiny_config.train, freeze=("vision",)))
    moved.note_learning()
    found = moved.parts()["vision"]
    assert found.learned == found.parameters
    assert found.change == pytest.approx(change, rel=0.05)


def test_gradients_are_averaged_over_the_steps_that_changed_something(tiny_model):
    moved = Movement(tiny_model)
    for one in (step(vision=1.0, all=2.0), step(False, vision=math.inf, all=math.inf), step(vision=3.0, all=4.0)):
        moved.add(one)
    found = moved.parts()
    assert (found["vision"].gradient, found["vision"].last_gradient) == (2.0, 3.0)
    assert (found["decoder"].gradient, found["decoder"].last_gradient) == (None, None)
    assert moved.norms == {"vision": 3.0, "all": 4.0}


def test_beginning_of_a_run_that_is_gone_on_with_is_that_of_the_first(tiny_model, tiny_config):
    first = TrainState(tiny_model, tiny_config.train)
    first.movement.add(step(vision=1.0, all=1.0))
    change = add(tiny_model.vision, 0.1)
    values = first.state_dict()
    again = TrainState(tiny_model, tiny_config.train)
    assert again.movement.parts()["vision"].change == 0.0
    again.load_state_dict(values)
    again.movement.add(step(vision=3.0, all=3.0))
    found = again.movement.parts()["vision"]
    assert found.change == pytest.approx(change, rel=0.05)
    assert found.gradient == 2.0
    assert again.movement.state_dict()["steps"] == 2


def test_beginning_of_another_model_is_refused(tiny_model):
    moved = Movement(tiny_model)
    values = moved.state_dict()
    values["start"] = {**values["start"], "vision.another": torch.zeros(SUMS)}
    with pytest.raises(ValueError, match=r"vision\.another"):
        moved.load_state_dict(values)


def test_sketch_of_a_small_tensor_is_exact():
    tensor = torch.randn(10, 100)
    assert float(sketch(tensor).norm()) == pytest.approx(float(tensor.norm()), rel=1e-6)


@pytest.mark.parametrize("shape", [(700, 900), (1, 3 * SUMS), (512, 768)])
@pytest.mark.parametrize("columns", [1, 10, None])
def test_sketch_keeps_the_norm_however_a_change_is_spread(shape, columns):
    torch.manual_seed(0)
    tensor = torch.randn(shape)
    if columns:
        tensor[:, columns:] = 0
    assert float(sketch(tensor).norm()) == pytest.approx(float(tensor.norm()), rel=0.15)


def test_sketch_is_linear_over_chunks(monkeypatch):
    monkeypatch.setattr(movement, "_ROWS", 2)
    movement._signs.cache_clear()
    a, b = torch.randn(9, SUMS), torch.randn(9, SUMS)
    torch.testing.assert_close(sketch(a) + sketch(b), sketch(a + b), rtol=1e-5, atol=1e-4)
    repeated = torch.randn(1, 2 * SUMS).expand(8, -1)  # the same in every chunk, as if their signs were the same
    assert float(sketch(repeated).norm()) == pytest.approx(float(repeated.norm()), rel=0.2)
    movement._signs.cache_clear()


def test_sketch_sees_the_last_bit_of_one_element():
    tensor = torch.randn(2000, SUMS)
    before = sketch(tensor)
    assert torch.equal(sketch(tensor.clone()), before)
    tensor[1000, 7] = torch.nextafter(tensor[1000, 7], torch.tensor(10.0))
    assert not torch.equal(sketch(tensor), before)


def test_values_for_json_are_short(tiny_model):
    moved = Movement(tiny_model)
    add(tiny_model.vision, 0.1, only="norm")
    values = moved.parts()["vision"].to_dict()
    assert values["still"] > 10 or len(values["still_tensors"]) == values["still"]
    assert set(values) == {
        "parameters", "learned", "change", "tensors", "still", "still_tensors", "gradient_norm", "last_gradient_norm",
    }  # fmt: skip
