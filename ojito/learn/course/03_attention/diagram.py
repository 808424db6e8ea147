"""What the division by sqrt(K) and the mask do to the weights of the library's attention. Run it: python diagram.py"""

import torch

from ojito.model.attention import attend_eager

T, K = 6, 64
torch.manual_seed(0)
q, k = torch.randn(2, 1, 1, T, K)
v = torch.eye(T, K)[None, None]  # key s hands over a 1 at place s: what a query gets is its weights
causal = torch.ones(1, 1, T, T).tril().bool()
shown = {
    "as they are": attend_eager(q, k, v, None, scale=1.0),
    "scores / sqrt(K)": attend_eager(q, k, v, None, scale=K**-0.5),
    "and a causal mask": attend_eager(q, k, v, causal, scale=K**-0.5),
}
print("weights, in hundredths: a line for each query, a column for each key")
print("   ".join(f"{name:<24}" for name in shown).rstrip())
for t in range(T):
    lines = ("".join("   ." if w == 0 else f"{100 * w:4.0f}" for w in one[0, 0, t, :T]) for one in shown.values())
    print("   ".join(f"{line:<24}" for line in lines).rstrip())
