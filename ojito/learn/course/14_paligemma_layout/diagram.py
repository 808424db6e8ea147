"""The library's names of PaliGemma's tensors beside the Hub's. Run it: python diagram.py"""

import re

from ojito import presets
from ojito.checkpoint.huggingface.families.paligemma import PALIGEMMA
from ojito.model.meta import on_meta

model = presets.preset("paligemma-3b-224").model
shapes = {name: tuple(weight.shape) for name, weight in on_meta(model, "lesson").state_dict().items()}
names = PALIGEMMA.keys("siglip_vision_model", "gemma", tied=True).resolve(shapes)
print(f"{len(shapes)} tensors; of each part the first layer")
for ours, key in names.items():
    layer = re.search(r"blocks\.(\d+)\.", ours)
    if (layer is None or layer[1] == "0") and not ours.endswith("bias"):
        print(f"{ours.removesuffix('.weight'):<31} {key.name.removesuffix('.weight')}  {shapes[ours]}")
