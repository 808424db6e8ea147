"""The decoder against the reference in its own terms, written out in NumPy: NHWC features and HWIO kernels."""

import numpy as np
import pytest
import torch

from ojito.locate.mask_decoder import MaskDecoder


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    made = MaskDecoder().eval()
    for parameter in made.parameters():  # loud biases too, which the default leaves nearly silent
        parameter.data.normal_(std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1)
    return made


def hwio(layer):
    """A layer's kernel and bias as big_vision hands them to JAX."""
    return layer.weight.detach().double().numpy().transpose(2, 3, 1, 0), layer.bias.detach().double().numpy()


def conv(features, layer, padding):
    """What `nn.Conv` of flax does: each output is the sum over a window, the kernel not mirrored."""
    kernel, bias = hwio(layer)
    padded = np.pad(features, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return correlate(padded, kernel) + bias


def conv_transpose(features, layer):
    """What `nn.ConvTranspose` with strides 2, padding 2 and transpose_kernel does.

    Zeros between the pixels, two around them, the kernel mirrored and its channels exchanged.
    """
    kernel, bias = hwio(layer)
    n, h, w, c = features.shape
    spread = np.zeros((n, 2 * h - 1, 2 * w - 1, c))
    spread[:, ::2, ::2] = features
    padded = np.pad(spread, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return correlate(padded, kernel[::-1, ::-1].swapaxes(2, 3)) + bias


def correlate(padded, kernel):
    size, _, inputs, outputs = kernel.shape
    n, h, w, c = padded.shape
    assert c == inputs
    made = np.zeros((n, h - size + 1, w - size + 1, outputs))
    for y in range(size):
        for x in range(size):
            made += padded[:, y : y + made.shape[1], x : x + made.shape[2]] @ kernel[y, x]
    return made


def relu(features):
    return np.maximum(features, 0)


def residual(features, block):
    inner = relu(conv(features, block.first, 1))
    inner = relu(conv(inner, block.second, 1))
    return features + conv(inner, block.third, 0)


def nhwc(features):
    return features.detach().double().numpy().transpose(0, 2, 3, 1)


def test_masks_match_the_reference_written_out(decoder):
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 128, (3, 16)))
    features = decoder.codebook.weight.detach().double().numpy()[codes.numpy().reshape(-1)].reshape(3, 4, 4, 512)
    features = relu(conv(features, decoder.narrow, 0))
    for block in decoder.blocks:
        features = residual(features, block)
    for layer in decoder.doublings:
        features = relu(conv_transpose(features, layer))
    expected = conv(features, decoder.draw, 0)[..., 0]
    masks = decoder(codes)
    assert masks.shape == (3, 64, 64)
    assert expected.std() > 0.01
    assert np.allclose(masks.detach().numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [4, 5])
def test_layers_match_the_reference_one_by_one(decoder, size):
    torch.manual_seed(1)
    deep, wide = torch.randn(2, 512, size, size), torch.randn(2, 128, size, size)
    block, double = decoder.blocks[1], decoder.doublings[1]
    assert np.allclose(nhwc(decoder.narrow(deep)), conv(nhwc(deep), decoder.narrow, 0), atol=1e-5)
    assert np.allclose(nhwc(block.second(wide)), conv(nhwc(wide), block.second, 1), atol=1e-5)
    assert np.allclose(nhwc(block(wide)), residual(nhwc(wide), block), atol=1e-5)
    assert np.allclose(nhwc(double(wide)), conv_transpose(nhwc(wide), double), atol=1e-5)


def test_layers_have_the_sizes_of_the_published_weights(decoder):
    shapes = {name: tuple(parameter.shape) for name, parameter in decoder.named_parameters()}
    assert shapes["codebook.weight"] == (128, 512)
    assert shapes["narrow.weight"] == (128, 512, 1, 1)
    assert [shapes[f"blocks.1.{name}.weight"][2:] for name in ("first", "second", "third")] == [(3, 3), (3, 3), (1, 1)]
    assert [shapes[f"doublings.{i}.weight"] for i in range(4)] == [
        (128, 128, 4, 4), (128, 64, 4, 4), (64, 32, 4, 4), (32, 16, 4, 4)
    ]  # fmt: skip
    assert shapes["draw.weight"] == (1, 16, 1, 1)
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 1_188_993


def test_masks_do_not_depend_on_each_other(decoder):
    codes = torch.from_numpy(np.random.default_rng(1).integers(0, 128, (4, 16)))
    each = torch.cat([decoder(row[None]) for row in codes])
    assert torch.allclose(decoder(codes), each, atol=1e-6)


def test_no_codes_are_no_masks(decoder):
    assert decoder(torch.zeros(0, 16, dtype=torch.int64)).shape == (0, 64, 64)
