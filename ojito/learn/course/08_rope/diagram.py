"""Scores of one query and one key at all positions, rotated by the library. Run it: python diagram.py"""

import torch

from ojito.model.rope import apply_rope, rope_cos_sin

T, K = 8, 16
rope = rope_cos_sin(torch.arange(T)[None], K, theta=10_000.0)
same = torch.ones(1, 1, T, K)  # the same query, and the same key, at each position
q, k = apply_rope(same, rope), apply_rope(same, rope)
scores = (q @ k.mT)[0, 0]
print("q k^T: a line for each position of the query, a column for each of the key")
for line in scores:
    print("".join(f"{score:6.1f}" for score in line))
print("how far the hand of each pair has turned after one position, in degrees")
degrees = torch.rad2deg(torch.acos(rope[0][0, 0, 1, : K // 2].double()))
print("".join(f"{angle:8.2f}" for angle in degrees))
