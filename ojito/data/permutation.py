"""A random order of any number of things, of which each place is computed by itself: nothing is held in memory."""

from __future__ import annotations

import random

_ROUNDS = 4
_MASK = 2**64 - 1


class Permutation:
    """A random order of the numbers from 0 to `count` - 1.

    Args:
        count: How many there are.
        seed: Decides the order.

    Source: a Feistel network, and numbers that it takes too far go through it again (Black and Rogaway 2002, "Ciphers
    with arbitrary finite domains", cycle walking); its round is the finalizer of SplitMix64 (Steele et al. 2014).
    """

    def __init__(self, count: int, seed: str) -> None:
        self._count = count
        self._half = max(1, (max(1, count - 1).bit_length() + 1) // 2)  # bits of half a number
        draw = random.Random(seed)
        self._keys = [draw.getrandbits(64) for _ in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self._count:
            raise IndexError(place)
        found = self._through(place)
        while found >= self._count:  # four times at most on average
            found = self._through(found)
        return found

    def _through(self, number: int) -> int:
        mask = (1 << self._half) - 1
        left, right = number >> self._half, number & mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        return left << self._half | right


def _mixed(number: int) -> int:
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
