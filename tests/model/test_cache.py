import pytest
import torch

from ojito.config import DecoderConfig
from ojito.model import AttentionMetadata, KVCache

CONFIG = DecoderConfig(vocab_size=10, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, mlp_dim=8)


def metadata(rows, length, start=0):
    positions = torch.arange(start, start + length).expand(rows, length)
    return AttentionMetadata(positions, torch.zeros_like(positions), (positions < 2).long() - 1)


def test_cache_returns_all_tokens_so_far():
    cache = KVCache(CONFIG, rows=3, length=5)
    first, second = torch.randn(3, 1, 2, 4), torch.randn(3, 1, 1, 4)
    cache.extend(metadata(3, 2))
    k, v = cache.update(1, first, -first)
    assert torch.equal(k, first)
    seen = cache.extend(metadata(3, 1, start=2))
    k, v = cache.update(1, second, -second)
    assert torch.equal(k, torch.cat((first, second), dim=2))
    assert torch.equal(v, -k)
    assert seen.positions[0].tolist() == [0, 1, 2]
    assert seen.blocks[0].tolist() == [0, 0, -1]
    assert cache.length == 3


def test_cache_keeps_layers_apart():
    cache = KVCache(CONFIG, rows=1, length=2)
    cache.extend(metadata(1, 1))
    cache.update(0, torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4))
    k, _ = cache.update(1, torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4))
    assert k.abs().sum() == 0


def test_cache_is_allocated_once():
    cache = KVCache(CONFIG, rows=1, length=4)
    address = cache.keys.data_ptr()
    for start in range(4):
        cache.extend(metadata(1, 1, start))
        k, _ = cache.update(0, torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 4))
        assert k.data_ptr() == address


def test_cache_takes_dtype_and_device():
    cache = KVCache(CONFIG, rows=1, length=2, dtype=torch.bfloat16, device="meta")
    assert cache.keys.dtype == cache.values.dtype == torch.bfloat16
    assert cache.keys.device == cache.metadata.positions.device == torch.device("meta")


@pytest.mark.parametrize("rows", [[1, 1, 0], [2, 0], [0, 0, 1, 1, 2, 2]], ids=str)
def test_select_takes_rows_with_all_that_they_hold(rows):
    cache = KVCache(CONFIG, rows=3, length=5)
    cache.extend(AttentionMetadata(*(torch.arange(9).view(3, 3) + 10 * i for i in range(3))))
    stored = torch.randn(3, 1, 3, 4)
    cache.update(1, stored, -stored)
    cache.truncate(1, 2)
    before = cache.metadata
    expected = [tensor[rows] for tensor in (before.positions, before.segments, before.blocks)]
    lengths = [cache.lengths[row] for row in rows]
    cache.select(rows)
    after = cache.metadata
    assert all(map(torch.equal, expected, (after.positions, after.segments, after.blocks)))
    assert torch.equal(cache.keys[1, :, :, :3], stored[rows])
    assert torch.equal(cache.values[1, :, :, :3], -stored[rows])
    assert cache.lengths == lengths


def test_select_leaves_the_columns_before_its_start():
    cache = KVCache(CONFIG, rows=2, length=3)
    cache.extend(metadata(2, 3))
    stored = torch.randn(2, 1, 3, 4)
    cache.update(0, stored, stored)
    cache.select([1, 0], start=2)
    assert torch.equal(cache.keys[0, :, :, :2], stored[:, :, :2])
    assert torch.equal(cache.keys[0, :, :, 2], stored[[1, 0], :, 2])


def test_full_cache_says_how_long_it_must_be():
    cache = KVCache(CONFIG, rows=1, length=3)
    cache.extend(metadata(1, 2))
    with pytest.raises(ValueError, match="holds 2 of at most 3 tokens and got 2 more; make one with a length of 4"):
        cache.extend(metadata(1, 2))
    assert cache.length == 2


def test_cache_of_other_rows_is_refused():
    with pytest.raises(ValueError, match="holds 2 rows but got 3"):
        KVCache(CONFIG, rows=2, length=3).extend(metadata(3, 1))
