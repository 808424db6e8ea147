"""A pass with a cache's memory of fixed shape against one with the cache."""

import torch

from ojito.config import DecoderConfig
from ojito.model import AttentionMetadata, KVCache
from ojito.model.fixed_cache import FixedCache
from ojito.records import PADDING

CONFIG = DecoderConfig(vocab_size=10, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, mlp_dim=8)


def metadata(positions):
    positions = torch.tensor(positions)
    return AttentionMetadata(positions, torch.zeros_like(positions), torch.full_like(positions, -1))


def filled(lengths, capacity):
    cache = KVCache(CONFIG, len(lengths), capacity)
    k = torch.randn(len(lengths), 1, max(lengths), 4)
    cache.extend(metadata([[*range(max(lengths))]] * len(lengths)))
    for layer in range(2):
        cache.update(layer, k + layer, -k)
    for row, length in enumerate(lengths):
        cache.truncate(row, length)
    return cache


def test_tokens_are_written_where_the_cache_writes_them():
    k, numbers = torch.randn(2, 1, 2, 4), metadata([[3, 4], [2, 3]])
    written = []
    for fixed in (False, True):
        torch.manual_seed(0)
        cache = filled((3, 2), 8)
        into = FixedCache(cache, 6, torch.tensor([[3, 4], [2, 3]])) if fixed else cache
        into.extend(numbers)
        for layer in range(2):
            into.update(layer, k * layer, -k)
        written.append((cache.keys, cache.values, cache.metadata.positions, cache.metadata.segments))
    for expected, found in zip(*written, strict=True):
        assert torch.equal(expected, found)


def test_columns_up_to_the_reach_are_read_and_those_behind_a_row_are_padding():
    cache = filled((3, 2), 8)
    cache.metadata.segments.fill_(0)
    fixed = FixedCache(cache, 5, torch.tensor([[3], [2]]))
    seen = fixed.extend(metadata([[3], [2]]))
    keys, values = fixed.update(0, torch.ones(2, 1, 1, 4), torch.ones(2, 1, 1, 4))
    assert keys.shape == values.shape == (2, 1, 5, 4)
    assert seen.segments.tolist() == [[0, 0, 0, 0, PADDING], [0, 0, 0, PADDING, PADDING]]
    assert seen.positions[:, :4].tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]


def test_columns_are_read_when_the_pass_runs():
    cache, columns = filled((1, 1), 8), torch.tensor([[1], [1]])
    fixed = FixedCache(cache, 8, columns)
    columns.copy_(torch.tensor([[2], [5]]))
    fixed.extend(metadata([[7], [7]]))
    fixed.update(1, torch.full((2, 1, 1, 4), 9.0), torch.zeros(2, 1, 1, 4))
    assert (cache.metadata.positions == 7).nonzero().tolist() == [[0, 2], [1, 5]]
    assert (cache.keys[1, :, 0, :, 0] == 9).nonzero().tolist() == [[0, 2], [1, 5]]


def test_rows_that_the_cache_only_has_memory_for_are_written_to():
    cache = filled((2, 2), 4)
    cache.drop([1])
    FixedCache(cache, 4, torch.tensor([[2], [0]])).extend(metadata([[2], [5]]))
    assert len(cache.lengths) == 1
    assert cache.memory(2, 4)[2].positions[1].tolist()[0] == 5
