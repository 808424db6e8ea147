import pytest
import torch

from ojito.config import DecoderConfig
from ojito.model import AttentionMetadata, KVCache
from ojito.model.cache import REACH, length_on
from ojito.records import PADDING

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


def test_cache_is_written_to_with_gradients_after_a_pass_without():
    cache = KVCache(CONFIG, rows=1, length=2)
    with torch.no_grad():
        cache.extend(metadata(1, 1))
        cache.update(0, torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4))
    new = torch.ones(1, 1, 1, 4, requires_grad=True)
    cache.extend(metadata(1, 1, start=1))
    k, _ = cache.update(0, new, new)
    k.sum().backward()
    assert new.grad is not None


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


# ------------------------------------------------------------------------------------------------ rows come and go


def filled(rows, length, capacity):
    """A cache, and the keys that its second layer holds; the values are their negatives."""
    cache = KVCache(CONFIG, rows=rows, length=capacity)
    numbers = torch.arange(rows * length).view(rows, length)
    cache.extend(AttentionMetadata(numbers, torch.zeros_like(numbers), numbers + 100))
    stored = torch.randn(rows, 1, length, 4)
    cache.update(1, stored, -stored)
    return cache, stored


def test_last_rows_take_the_places_of_those_that_are_dropped():
    cache, stored = filled(5, 3, 4)
    cache.truncate(4, 2)
    address = cache.keys.data_ptr()
    assert cache.drop([0, 3]) == [4, 1, 2]
    assert cache.lengths == [2, 3, 3]
    assert (cache.keys.shape[1], cache.rows) == (3, 5)
    assert cache.keys.data_ptr() == address
    assert torch.equal(cache.keys[1, 1:, :, :3], stored[[1, 2]])
    assert torch.equal(cache.values[1, 0, :, :2], -stored[4, :, :2])
    assert cache.metadata.positions[0, :2].tolist() == [12, 13]
    assert cache.metadata.segments[0].tolist() == [0, 0, PADDING, PADDING]
    assert cache.drop([0, 1, 2]) == []
    assert cache.length == 0


def test_row_that_is_added_holds_nothing_of_the_one_that_left():
    cache, stored = filled(2, 3, 4)
    kept = cache.columns(1, slice(0, 2)).copy()
    cache.drop([1])
    assert cache.add_row() == 1
    assert cache.metadata.segments[1].tolist() == [PADDING] * 4
    cache.write(1, kept)
    cache.write(1, kept)
    assert cache.lengths == [3, 4]
    assert torch.equal(cache.keys[1, 1], stored[1, :, [0, 1, 0, 1]])
    assert torch.equal(cache.values[1, 1], -stored[1, :, [0, 1, 0, 1]])
    assert cache.metadata.positions[1].tolist() == [3, 4, 3, 4]
    assert cache.metadata.blocks[1].tolist() == [103, 104, 103, 104]


def test_columns_are_those_of_the_cache_until_they_are_copied():
    cache, _ = filled(2, 3, 4)
    columns = cache.columns(0, slice(1, 3))
    copied = columns.copy()
    cache.keys.fill_(5)
    assert (columns.keys == 5).all()
    assert not (copied.keys == 5).any()
    assert (len(columns), copied.nbytes) == (2, 2 * 2 * 2 * 4 * 4 + 3 * 2 * 8)


@pytest.mark.parametrize(("rows", "length"), [(4, 4), (2, 9), (5, 7), (1, 1)])
def test_cache_that_reserves_more_holds_what_it_held(rows, length):
    cache, stored = filled(2, 3, 4)
    before, address = cache.metadata, cache.keys.data_ptr()
    cache.reserve(rows, length)
    assert (cache.rows, cache.capacity) == (max(rows, 2), max(length, 4))
    assert (cache.keys.data_ptr() == address) is (rows <= 2 and length <= 4)
    assert cache.lengths == [3, 3]
    assert torch.equal(cache.keys[1, :, :, :3], stored)
    assert torch.equal(cache.values[1, :, :, :3], -stored)
    assert torch.equal(cache.metadata.positions[:, :4], before.positions)
    assert torch.equal(cache.metadata.blocks[:, :4], before.blocks)
    assert (cache.metadata.segments[:, 3:] == PADDING).all()


def test_cleared_cache_holds_empty_rows_in_the_same_memory():
    cache, _ = filled(3, 3, 4)
    address = cache.keys.data_ptr()
    cache.clear(2)
    assert cache.lengths == [0, 0]
    assert (cache.metadata.segments == PADDING).all()
    cache.reserve(3, 4)
    assert cache.keys.data_ptr() == address
    cache.reserve(4, 4)  # nothing to move, and nothing lost
    assert cache.lengths == [0, 0]


def test_tokens_that_the_caller_writes_are_counted():
    cache = KVCache(CONFIG, rows=2, length=4)
    cache.extend(metadata(2, 1))
    cache.truncate(1, 0)
    cache.advance(2)
    assert cache.lengths == [3, 2]
    with pytest.raises(ValueError, match="holds 3 of at most 4 tokens and got 2 more"):
        cache.advance(2)


def test_memory_is_that_of_rows_without_tokens_too():
    cache = KVCache(CONFIG, rows=3, length=6)
    cache.clear(1)
    keys, values, numbers = cache.memory(2, 4)
    assert keys.shape == values.shape == (2, 2, 1, 4, 4)
    assert numbers.positions.shape == numbers.segments.shape == numbers.blocks.shape == (2, 4)
    keys[:, 0] = 1.0
    assert cache.keys[:, :, :, :4].eq(1).all()


def test_address_changes_when_the_memory_moves_alone():
    cache = KVCache(CONFIG, rows=2, length=6)
    before = cache.address
    cache.extend(metadata(2, 3))
    cache.clear(1)
    cache.add_row()
    assert cache.address == before
    cache.reserve(3, 6)
    assert cache.address != before


@pytest.mark.parametrize(
    ("device", "length"),
    [(None, 130), ("cpu", 130), (torch.device("cpu"), 130), ("mps", 130), ("meta", 130), ("cuda:1", 2 * REACH)],
)
def test_memory_on_cuda_comes_in_pieces(device, length):
    assert length_on(device, 130) == length
