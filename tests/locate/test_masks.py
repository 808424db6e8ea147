import numpy as np
import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.locate.boxes import Box, fit_mask
from ojito.locate.mask_decoder import MaskDecoder
from ojito.locate.mask_weights import KEYS
from ojito.locate.masks import add_masks, read_mask_decoder

CODES = tuple(range(16))
BOXES = [Box(0, 0, 5, 9, "cat", CODES), Box(1, 1, 2, 2, "ant"), Box(2, 3, 9, 8, "dog", CODES[::-1])]


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    made = MaskDecoder()
    for parameter in made.parameters():
        parameter.data.normal_(std=0.1)
    return made


def test_boxes_with_codes_get_their_own_masks_and_the_others_none(decoder):
    found = add_masks(BOXES, decoder, 10, 9)
    assert found == BOXES
    assert found[1].mask is None
    with torch.no_grad():
        squares = decoder(torch.tensor([CODES, CODES[::-1]])).numpy()
    assert np.array_equal(found[0].mask, fit_mask(squares[0], BOXES[0], 10, 9))
    assert np.array_equal(found[2].mask, fit_mask(squares[1], BOXES[2], 10, 9))
    assert all(box.mask is None for box in BOXES)


def test_boxes_without_codes_need_no_decoder():
    assert add_masks(BOXES[1:2], None, 10, 9) == BOXES[1:2]
    assert add_masks([], None, 10, 9) == []


def test_decoder_is_read_from_its_file(decoder, tmp_path):
    np.savez(tmp_path / "a.npz", **{KEYS[key]: tensor.numpy() for key, tensor in decoder.state_dict().items()})
    read = read_mask_decoder(tmp_path / "a.npz").state_dict()
    assert all(torch.equal(read[key], tensor) for key, tensor in decoder.state_dict().items())


def test_decoder_that_is_missing_is_an_error_with_its_path(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        read_mask_decoder(tmp_path / "gone.npz")
    assert caught.value.where == str(tmp_path / "gone.npz")
    assert caught.value.problem == "cannot be read (No such file or directory)"
