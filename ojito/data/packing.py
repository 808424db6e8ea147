"""Which samples share a packed row: longest first, and with each row's samples chosen to fill it."""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put samples into rows, as few as a search that takes no time finds.

    A row takes the longest sample that is left, and of the others those that fill it best: to the last token, if any
    do, with as many long ones among them as there can be, since short ones are the easier to place later. Samples of
    about one length, such as captions, leave up to a tenth more free where each is put into the fullest row that has
    room (best-fit decreasing).

    Args:
        lengths: Of each sample, at most the capacity. Samples of length 0 go into any row.
        capacity: Of a row.

    Returns:
        The numbers of the samples of each row, in their order.

    Source: Gupta and Ho 1999, "A new heuristic algorithm for the one-dimensional bin-packing problem": minimum slack.
    """
    left = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: -lengths[number])
    rows: list[list[int]] = []
    while left:
        taken = _best(left, lengths, capacity)
        rows.append(sorted(left[place] for place in taken))
        left = [number for place, number in enumerate(left) if place not in taken]
    empty = [number for number, length in enumerate(lengths) if not length]
    if empty and not rows:
        rows.append([])
    for place, number in enumerate(empty):
        rows[place % len(rows)].append(number)
    return rows


def _best(left: Sequence[int], lengths: Sequence[int], capacity: int) -> set[int]:
    """Return the places in `left`, sorted from the longest sample on, of those that fill a row best; the first is one.

    Bit n of a number says that some of the samples looked at so far, the first among them, are n tokens together.
    """
    room = (1 << capacity + 1) - 1  # what is beyond the capacity is of no interest
    sums = 1 << lengths[left[0]]
    tried = [(0, 0)]  # place of a sample, and the sums without it
    length = alike = 0
    for place in range(1, len(left)):
        if sums >> capacity:  # the row can be filled
            break
        alike = alike + 1 if lengths[left[place]] == length else 1
        length = lengths[left[place]]
        if alike * length <= capacity:  # more of one length do not fit anyway
            tried.append((place, sums))
            sums |= sums << length & room
    tokens = sums.bit_length() - 1
    taken = {0}
    for place, without in reversed(tried[1:]):
        if not without >> tokens & 1:
            taken.add(place)
            tokens -= lengths[left[place]]
    return taken
