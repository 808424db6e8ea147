"""The whole model: every decoder style with either vision tower."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ojito.config import AveragePoolConfig, Config, ConnectorConfig, PerceiverConfig, PixelShuffleConfig, ViTConfig
from ojito.errors import OjitoError
from ojito.model import VLM, KVCache
from ojito.model.meta import shapes_only
from ojito.records import IMAGE, PADDING, Batch

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def changed(batch, **fields):
    return dataclasses.replace(batch, **fields)


def with_token(batch, place, token):
    tokens = batch.tokens.clone()
    tokens[:, place] = token
    return changed(batch, tokens=tokens)


# ----------------------------------------------------------------------------------- the same result, however it is fed


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_equals_unpadded(model, row, pad, side):
    batch = row(model)
    logits = model(pad(batch, **{side: 4}))
    kept = logits[:, 4:] if side == "left" else logits[:, :-4]
    torch.testing.assert_close(kept, model(batch), **CLOSE)
    assert logits.isfinite().all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_batched_equals_single(model, row, join, side):
    rows = [row(model, 5, 6, 1, seed=1), row(model, 3, 2, 0, seed=2), row(model, 7, 3, 2, seed=3)]
    batch = join(rows, side)
    logits = model(batch)
    for i, single in enumerate(rows):
        torch.testing.assert_close(logits[i][batch.segments[i] != PADDING], model(single)[0], **CLOSE)


def test_cached_equals_uncached(model, row, join, columns):
    batch = join([row(model, 5, 6, seed=1), row(model, 2, 6, seed=2)], "left")  # unequal prompts, aligned answers
    length = batch.tokens.shape[1]
    cache = KVCache(model.config.decoder, 2, length)
    pieces = [model(columns(batch, 0, length - 6, images=True), cache)]
    pieces += [model(columns(batch, t, t + 1), cache) for t in range(length - 6, length)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(batch), **CLOSE)


def several(model, row):
    """Rows of all kinds: images in front, two of them, none; a blind turn behind a shared part."""
    rows = [row(model, 5, 6, 1, seed=1), row(model, 3, 2, 0, seed=2), row(model, 7, 3, 2, seed=3)]
    blind, begin = row(model, 4, 4, 1, seed=4), 2 + model.config.image_tokens
    blind.segments[:, begin:] = 1
    blind.segments[:, begin + 3 :] = 2
    blind.positions[:, begin + 3 :] -= 3
    return [*rows, blind]


def test_packed_equals_single(model, row, pack):
    rows = several(model, row)
    logits = model(pack(rows))
    start = 0
    for single in rows:
        stop = start + single.tokens.shape[1]
        torch.testing.assert_close(logits[:, start:stop], model(single), **CLOSE)
        start = stop
    assert logits.isfinite().all()


def test_packed_has_the_loss_and_the_gradients_of_the_single_rows(style, build, row, pack):
    model = build(style)
    rows = several(model, row)
    for single in rows:
        single.targets[:, -6:] = single.tokens[:, -6:]
    found = []
    for batches in ([pack(rows)], rows):
        model.zero_grad()
        losses = [F.cross_entropy(model(b).flatten(0, 1), b.targets.flatten(), reduction="sum") for b in batches]
        sum(losses).backward()
        found.append((sum(losses).detach(), {name: p.grad for name, p in model.named_parameters()}))
    (loss, gradients), (expected, single_gradients) = found
    torch.testing.assert_close(loss, expected, **CLOSE)
    largest = max(float(gradient.abs().max()) for gradient in single_gradients.values())
    for name, gradient in single_gradients.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-5, atol=1e-6 * largest)


def test_batch_norm_sees_the_same_images_in_packed_rows(build, row, pack, join):
    model = build("llama", "resnet").train()
    rows = several(model, row)
    statistics = copy.deepcopy(model.vision.state_dict())
    packed = model(pack(rows))[:, : rows[0].tokens.shape[1]]
    moved = copy.deepcopy(model.vision.state_dict())
    model.vision.load_state_dict(statistics)
    single = model(join(rows, "right"))[:1, : rows[0].tokens.shape[1]]
    torch.testing.assert_close(packed, single, **CLOSE)
    for name, value in model.vision.state_dict().items():
        torch.testing.assert_close(value, moved[name], **CLOSE)


def test_documents_change_logits(model, row, pack):
    batch = pack([row(model, seed=1), row(model, seed=2)])
    together, apart = (model(changed(batch, documents=documents)) for documents in (None, batch.documents))
    assert not torch.allclose(together, apart, atol=1e-4)


def test_sample_of_a_packed_row_never_changes_another(model, row, pack):
    rows = several(model, row)
    before = model(pack(rows))
    start = 0
    for number, single in enumerate(rows):
        stop = start + single.tokens.shape[1]
        other = row(model, 1, single.tokens.shape[1] - 1, 0, seed=9)
        other = changed(single, tokens=torch.where(single.tokens == IMAGE, IMAGE, other.tokens))
        after = model(pack([*rows[:number], other, *rows[number + 1 :]]))
        assert not torch.allclose(after[:, start:stop], before[:, start:stop], atol=1e-4)
        for kept in (slice(0, start), slice(stop, None)):
            torch.testing.assert_close(after[:, kept], before[:, kept], rtol=0, atol=1e-5)
        start = stop


def test_packed_rows_are_not_read_into_a_cache(model, row, pack):
    batch = pack([row(model), row(model)])
    with pytest.raises(OjitoError, match="cache: holds rows of one sample each, and these are packed; unpack them"):
        model(batch, KVCache(model.config.decoder, 1, batch.tokens.shape[1]))


def test_batch_moves_with_its_documents(model, row, pack):
    batch = pack([row(model), row(model)])
    assert batch.to("meta").documents.device.type == "meta"
    assert (batch.num_samples, row(model).num_samples) == (2, 1)
    assert changed(batch, documents=torch.full_like(batch.documents, PADDING)).num_samples == 0


def test_blind_turns_packed_equal_each_alone(model, row):
    shared, lengths = row(model, prompt=2, answer=0), (5, 3, 4)
    begin = shared.tokens.shape[1]

    def with_turns(*turns):
        parts = [shared]
        for turn in turns:
            words = row(model, prompt=2, answer=lengths[turn] - 2, num_images=0, seed=10 + turn)
            segments = torch.full_like(words.segments, 1 + turn)
            parts.append(changed(words, positions=begin + words.positions, segments=segments))
        names = [
            field.name
            for field in dataclasses.fields(Batch)
            if field.name not in ("images", "patches", "visual", "documents")
        ]
        return Batch(**{n: torch.cat([getattr(p, n) for p in parts], dim=1) for n in names}, images=shared.images)

    packed = model(with_turns(0, 1, 2))[:, begin:].split(lengths, dim=1)
    for turn in range(3):
        torch.testing.assert_close(packed[turn], model(with_turns(turn))[:, begin:], **CLOSE)


# ---------------------------------------------------------------------------------------- what reads what, and what not


def test_later_token_never_changes_earlier_logits(model, row):
    batch = row(model, prompt=5, answer=6)
    before, length = model(batch), batch.tokens.shape[1]
    for place in range(length - 6, length):
        after = model(with_token(batch, place, int(batch.tokens[0, place]) % 30 + 1))
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, place], before[:, place], atol=1e-4)


def test_prompt_is_read_backwards_by_a_prefix_mask_only(model, row):
    batch = row(model, prompt=5, answer=6)
    place = model.config.image_tokens + 4  # the prompt's last token
    after, before = model(with_token(batch, place, int(batch.tokens[0, place]) % 30 + 1)), model(batch)
    reads = not torch.allclose(after[:, :place], before[:, :place], atol=1e-4)
    assert reads == (model.config.decoder.mask == "prefix")


def test_image_changes_logits(model, row):
    batch = row(model)
    after = model(changed(batch, images=batch.images.flip(-1)))
    assert not torch.allclose(after[:, -1], model(batch)[:, -1], atol=1e-4)


def test_order_of_images_changes_logits(model, row):
    batch = row(model, num_images=2)
    after = model(changed(batch, images=batch.images.flip(0)))
    assert not torch.allclose(after[:, -1], model(batch)[:, -1], atol=1e-4)


def test_position_changes_logits(model, row):
    batch = row(model)
    spread = model(changed(batch, positions=2 * batch.positions))
    assert not torch.allclose(spread[:, -1], model(batch)[:, -1], atol=1e-4)


@pytest.mark.parametrize(
    "connector",
    [
        ConnectorConfig(project="linear", bias=False),
        ConnectorConfig(project="mlp"),
        PixelShuffleConfig(factor=2),
        AveragePoolConfig(factor=2),
        PerceiverConfig(queries=3, heads=2),
    ],
    ids=lambda c: f"{c.reduce}-{c.project}",
)
@pytest.mark.parametrize(
    "vision",
    [
        ViTConfig(image_size=32, patch_size=8, width=16, layers=1, heads=2, mlp_dim=32, class_token=True),
        ViTConfig(image_size=32, patch_size=8, width=16, layers=0, heads=2, stem="conv", stem_widths=(4, 8, 8, 8)),
        "resnet",
    ],
    ids=["class-token", "conv-stem", "resnet"],
)
def test_every_connector_and_tower_shows_the_image_in_its_known_number_of_tokens(build, row, connector, vision):
    model = build("llama", vision, connector)
    batch = row(model)
    assert model.encode(batch.images).shape == (1, model.config.image_tokens, 24)
    loss = model.train()(changed(batch, images=batch.images.requires_grad_())).square().mean()
    loss.backward()
    assert batch.images.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.parameters())


# --------------------------------------------------------------------------------------------------- merging, by number


def test_text_alone_needs_no_image(model, row):
    batch = row(model, num_images=0)
    assert model(batch).shape == (1, 11, 40)


def test_visual_tokens_fill_the_image_places_in_order(build):
    model = build()
    tokens = torch.tensor([[5, IMAGE, IMAGE, 7], [IMAGE, 8, IMAGE, 9]])
    visual = torch.arange(4.0)[None, :, None].expand(1, 4, 24)
    hidden = model.merge(tokens, visual)
    assert hidden[tokens == IMAGE][:, 0].tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(hidden[0, 0], model.decoder.embedding.weight[5])
    torch.testing.assert_close(hidden[1, 3], model.decoder.embedding.weight[9])


def test_text_is_scaled_and_visual_tokens_are_not(build):
    model = build("gemma")
    hidden = model.merge(torch.tensor([[IMAGE, 7]]), torch.ones(1, 1, 24))
    torch.testing.assert_close(hidden[0, 0], torch.ones(24))
    torch.testing.assert_close(hidden[0, 1], model.decoder.embedding.weight[7] * 24**0.5)


def test_wrong_number_of_image_places_names_both_counts(build, row):
    model = build()
    batch = row(model)
    with pytest.raises(ValueError, match="3 placeholder tokens but 4 visual tokens from 1 images; write 4"):
        model(with_token(batch, 0, 1))
    with pytest.raises(ValueError, match="4 placeholder tokens but 0 visual tokens from 0 images"):
        model(changed(batch, images=None))
    with pytest.raises(ValueError, match="0 placeholder tokens but 4 visual tokens from 1 images"):
        model(changed(row(model, num_images=0), images=batch.images))


def test_image_of_another_size_names_both_sizes(build, row):
    model = build()
    with pytest.raises(ValueError, match="images: 24 x 16 pixels, but the vision tower reads 16 x 16; resize them"):
        model(changed(row(model), images=torch.zeros(1, 3, 24, 16)))


def test_position_out_of_range_names_the_limit(model, row):
    batch = row(model)
    with pytest.raises(ValueError, match="position 64 is beyond the decoder's max_positions 64"):
        model(changed(batch, positions=batch.positions + 65 - batch.tokens.shape[1]))


# ----------------------------------------------------------------------------------------------------------- the object


def test_logits_are_the_head_of_the_features_in_float32(build, row):
    model = build("gemma2").to(torch.bfloat16)
    batch = row(model)
    features = model.features(batch)
    assert features.dtype == torch.bfloat16
    logits = model(batch)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, model.head(features))


def test_bfloat16_stays_near_float32(model, row):
    batch = row(model)
    full = model(batch).softmax(-1)
    half = model.to(torch.bfloat16)(batch).softmax(-1)
    assert (full - half).abs().max() < 0.1


def test_model_built_on_meta_is_complete_once_loaded(model, row):
    with shapes_only():
        empty = VLM(model.config)
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(empty.eval()(row(model)), model(row(model)))


def test_parts_are_the_whole(model):
    assert list(model.parts) == ["vision", "connector", "decoder"]
    assert sum(p.numel() for part in model.parts.values() for p in part.parameters()) == sum(
        p.numel() for p in model.parameters()
    )


def test_autocast_stays_near_float32(model, row):
    batch = row(model)
    full = model(batch).softmax(-1)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch).softmax(-1)
    assert (full - half).abs().max() < 0.1


def test_autocast_trains(model, row):
    with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16):
        model.train()(row(model)).logsumexp(-1).mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_shapes_are_checked_in_tests(build):
    with pytest.raises(TypeError, match="tokens"):
        build().merge(torch.tensor([1, 2, 3]), None)


class _Reads(TorchDispatchMode):
    """Counts the values that are read back from a device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_decode_step_reads_no_value_back(model, row, columns):
    batch = row(model)
    cache = KVCache(model.config.decoder, 1, batch.tokens.shape[1])
    with _Reads() as prefill:
        model.features(columns(batch, 0, -1, images=True), cache)
    with _Reads() as step:
        model.head(model.features(columns(batch, batch.tokens.shape[1] - 1, None), cache))
    assert prefill.count > 0
    assert step.count == 0


def test_rows_of_a_cache_may_have_different_lengths(model, row, columns, join):
    rows = [row(model, prompt=5, seed=1), row(model, prompt=2, seed=2), row(model, prompt=4, num_images=0, seed=3)]
    lengths = [batch.tokens.shape[1] - 3 for batch in rows]
    prompts = [columns(batch, 0, n, images=True) for batch, n in zip(rows, lengths, strict=True)]
    cache = KVCache(model.config.decoder, 3, max(lengths) + 3)
    model.features(join(prompts, "right"), cache)
    for number, length in enumerate(lengths):
        cache.truncate(number, length)
    assert cache.lengths == lengths
    for step in range(3):
        ones = [columns(batch, n + step, n + step + 1) for batch, n in zip(rows, lengths, strict=True)]
        together = model.features(join(ones, "left"), cache)
        for number, (batch, n) in enumerate(zip(rows, lengths, strict=True)):
            alone = model.features(columns(batch, 0, n + step + 1, images=True))[:, -1]
            torch.testing.assert_close(together[number], alone, rtol=1e-4, atol=1e-4)
    assert cache.lengths == [n + 3 for n in lengths]


def test_attention_weights_are_tapped_by_name(model, row):
    batch, seen = row(model), {}
    plain = model(batch)
    modules = dict(model.named_modules())
    names = [name for name in modules if name.endswith("attention.weights")]
    assert "decoder.blocks.2.attention.weights" in names
    handles = [
        modules[name].register_forward_hook(lambda module, args, weights, name=name: seen.update({name: weights}))
        for name in names
    ]
    torch.testing.assert_close(model(batch), plain, rtol=1e-4, atol=1e-4)
    T = batch.tokens.shape[1]
    assert list(seen) == names
    assert seen["decoder.blocks.2.attention.weights"].shape == (1, 4, T, T)
    for weights in seen.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    for handle in handles:
        handle.remove()
    seen.clear()
    assert torch.equal(model(batch), plain)
    assert not seen


def test_hook_may_replace_attention_weights(build, row):
    model = build()
    batch, plain = row(model), model(row(model))
    with torch.no_grad():
        model.decoder.blocks[0].attention.weights.register_forward_hook(lambda module, args, weights: weights * 0)
        assert not torch.allclose(model(batch), plain, atol=1e-3)


def test_head_is_a_module_and_the_matrix_keeps_its_name(build, row):
    for style in ("llama", "gemma2"):
        model, seen = build(style), []
        model.decoder.head.register_forward_hook(lambda module, args, logits, seen=seen: seen.append(logits))
        logits = model(row(model))
        assert torch.equal(seen.pop(), logits)
        assert not [name for name in model.state_dict() if ".head" in name]
        assert ("decoder.untied_head.weight" in model.state_dict()) == (style == "llama")
        again = copy.deepcopy(model)
        again.decoder.embedding.weight.data.zero_()
        torch.testing.assert_close(model(row(model)), logits)
        if style == "gemma2":
            assert again(row(model)).abs().max() == 0  # the copy's head reads the copy's embeddings


def test_device_and_dtype_are_the_decoders(build):
    model = build()
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.to(torch.bfloat16).dtype == torch.bfloat16
    with shapes_only():
        assert VLM(model.config).device == torch.device("meta")


def test_model_is_made_of_a_config_or_a_recipe(build):
    config = build().config
    assert VLM(Config(model=config)).config == VLM(config).config == config
    with pytest.raises(OjitoError, match=r"'tiny' is not a Config or ModelConfig; for a preset write VLM\("):
        VLM("tiny")
