"""Configs whose fields contradict each other, and files of two models. (Single fields are tried in `nonsense.py`.)"""

from tests.hostile.changes import Cases, both, edited, replaced
from tests.hostile.good_folders import LLAMA, PUBLIC

CASES = Cases()
case = CASES.add

case("config of a part", "llava", replaced("config.json", {**LLAMA}), "it is a part")
case("config without parts", "llava", replaced("config.json", {"model_type": "llava"}), None)
case("config of another family", "llava", edited("config.json", lambda v: v.update(model_type="paligemma")), None)
case("config of both kinds", "llava", edited("config.json", lambda v: v.update(format=1)), "does not hold")
case("config of the other kind", "own", replaced("config.json", PUBLIC["llava"][0]), None)
case(
    "layer_types longer than memory",
    "paligemma",
    edited("config.json", lambda v: v["text_config"].update(num_hidden_layers=2**39)),
    "layer_types",
)
case(
    "layer_types of nonsense",
    "paligemma",
    edited("config.json", lambda v: v["text_config"].update(layer_types=["x"])),
    "layer_types",
)
case(
    "a grid whose divisors nobody can list",
    "own",
    edited(
        "config.json",
        lambda v: v["model"].update(
            vision={"image_size": 2**61 - 1, "patch_size": 1}, connector={"reduce": "average_pool", "factor": 2}
        ),
    ),
    "does not divide",
)
case(
    "heads that nobody can list",
    "resnet",
    edited("config.json", lambda v: v["model"]["connector"].update(heads=2**61 - 1)),
    "does not divide",
)
case(
    "100,000 convolutions",
    "own",
    edited("config.json", lambda v: v["model"]["vision"].update(stem_widths=[4] * 10**5)),
    "100000 entries are more than 10000",
)
case("100,000 stages", "resnet", edited("config.json", lambda v: v["model"]["vision"].update(blocks=[1] * 10**5)),
     "100000 entries are more than 10000")  # fmt: skip
case("a million blocks", "resnet", edited("config.json", lambda v: v["model"]["vision"].update(blocks=[1, 10**6])),
     "layers, but")  # fmt: skip
case(
    "image tokens longer than memory",
    "own",
    both(
        edited(
            "config.json",
            lambda v: v["model"].update(
                vision={
                    **v["model"]["vision"],
                    "stem": "patch",
                    "stem_widths": [],
                    "image_size": 2**40,
                    "patch_size": 1,
                },
                connector={},
                decoder={**v["model"]["decoder"], "max_positions": 2**90},
            ),
        ),
        edited("processor.json", lambda v: v.update(image_size=2**40, image_tokens=2**80)),
    ),
    "differing",
)
case("a model called by control characters", "own", edited("config.json", lambda v: v.update(name="\x1b[2J\n")), None)
case("a setting of control characters", "own", edited("config.json", lambda v: v["model"].update({"\x1b[2J\n": 1})),
     r"\\x1b\[2J\\n: unknown setting")  # fmt: skip
case(
    "a setting of 1 MB", "own", edited("config.json", lambda v: v["model"].update({"x" * 10**6: 1})), "unknown setting"
)
case(
    "a value of 1 MB",
    "own",
    edited("config.json", lambda v: v["model"]["decoder"].update(norm="x" * 10**6)),
    "is not one of",
)
case(
    "half a character", "own", edited("processor.json", lambda v: v["prompt"].update(user="\ud800")), "half a character"
)
