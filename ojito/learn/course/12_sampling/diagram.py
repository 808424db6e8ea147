"""What is left of the chances of eight words, shaped by the library. Run it: python diagram.py"""

import torch

from ojito.generate.sampling import Temperature, TopK, TopP

words = ["dog", "puppy", "cat", "fox", "toy", "wolf", "sofa", "the"]
logits = torch.tensor([[3.0, 2.5, 1.5, 1.0, 0.5, 0.0, -1.0, -2.0]])
shown = {
    "as it is": Temperature(1.0),
    "temp. 0.5": Temperature(0.5),
    "temp. 2": Temperature(2.0),
    "top-k 3": TopK(3),
    "top-p 0.9": TopP(0.9),
    "both 0.5, 0.9": TopP(0.9, temperature=0.5),
}
print("       " + "".join(f"{name:>15}" for name in shown))
chances = [sampler.keep(logits).softmax(-1)[0].tolist() for sampler in shown.values()]
for word, *line in zip(words, *chances, strict=True):
    print(f"{word:<7}" + "".join(f"{'-' if chance == 0 else format(chance, '.2f'):>15}" for chance in line))
