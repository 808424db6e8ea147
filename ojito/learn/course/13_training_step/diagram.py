"""Two micro-batches, and three ways to make one loss of them. Run it: python diagram.py"""

import torch
import torch.nn.functional as F

from ojito.records import IGNORE

V = 16
torch.manual_seed(0)
labels = [torch.full((2, 10), IGNORE), torch.full((2, 10), IGNORE)]
labels[0][0, 8:] = 3  # an answer of two tokens
labels[0][1, 9:] = 5  # and one of one
labels[1][:, 2:] = 7  # two of eight
logits = [torch.randn(2, 10, V), 0.5 * torch.randn(2, 10, V)]
sums, counts = [], []
for number, (one, label) in enumerate(zip(logits, labels, strict=True)):
    sums.append(F.cross_entropy(one.flatten(0, 1), label.flatten(), reduction="sum").item())
    counts.append(int((label != IGNORE).sum()))
    for row in label:
        print(f"micro-batch {number}   " + "".join(".#"[int(one != IGNORE)] for one in row))
    print(f"                sum {sums[-1]:6.2f} over {counts[-1]:>2} labelled tokens: mean {sums[-1] / counts[-1]:.3f}")
print(f"divided by all places:        {sum(sums) / 40:.3f}   the prompt counts as well")
print(
    f"mean of the means:            {(sums[0] / counts[0] + sums[1] / counts[1]) / 2:.3f}   3 tokens weigh as much as 16"
)
print(f"sums / all labelled tokens:   {sum(sums) / sum(counts):.3f}   as if the batch had been whole")
