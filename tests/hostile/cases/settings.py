"""Our own settings: of the processor, and recipes in YAML."""

import math

from tests.hostile.changes import Cases, canary, edited, replaced

CASES = Cases()
case = CASES.add

for what, edit, said in (
    ("means of two channels", lambda v: v["image"].update(mean=[0.5, 0.5]), "has 2 entries, not 3"),
    ("means of text", lambda v: v["image"].update(mean="abc"), "is not a list"),
    ("means of a million", lambda v: v["image"].update(mean=[0.5] * 200_000), "200000 entries are more than"),
    ("std 0", lambda v: v["image"].update(std=[0, 1, 1]), "must be greater than 0"),
    ("std of NaN", lambda v: v["image"].update(std=[math.nan, 1, 1]), "is not a finite number"),
    ("resample 99", lambda v: v["image"].update(resample=99), "is not one of"),
    ("no sizes", lambda v: v.pop("image_size"), "needs image_size"),
    ("a size of true", lambda v: v.update(image_size=True), "needs image_size"),
    ("negative sizes", lambda v: v.update(image_size=-16), "needs image_size"),
    ("more image tokens than memory", lambda v: v.update(image_tokens=2**60), "do not fit"),
    ("10 billion added tokens", lambda v: v["tokenizer"].update(added=["<{0000..9999}>"] * 10**4), "more than 20000"),
    ("10 billion tokens in one", lambda v: v["tokenizer"].update(added=["{0000..9999}" * 3]), "stands for"),
    (
        "a long added token",
        lambda v: v["tokenizer"].update(added=["x" * 10**5 + "{0000..9999}"]),
        "has 100012 characters",
    ),
    ("many that end", lambda v: v["tokenizer"].update(eos=["<eos>"] * 10**4), "are too many"),
    ("a tokenizer elsewhere", lambda v: v["tokenizer"].update(kind="file", path="/etc/passwd"), ""),
    ("a tokenizer in the network", lambda v: v["tokenizer"].update(kind="file", path="https://example.org/x"), ""),
    ("an image that is not written", lambda v: v["prompt"].update(image_text="x"), "must contain <image>"),
    ("an unknown group", lambda v: v.update(code="import os"), "unknown setting"),
    ("contradictions", lambda v: v["prompt"].update(turns="blind", image="inline"), "inline hides"),
):
    case(f"processor with {what}", "own", edited("processor.json", edit), said)

RECIPES = {
    "a Python object": "!!python/object/apply:os.system ['touch CANARY']",
    "a Python name": "name: !!python/name:os.system",
    "a Python module": "name: !!python/module:os",
    "a new Python object": "name: !!python/object/new:os.system ['touch CANARY']",
    "a tag of its own": "name: !evil x",
    "an anchor in itself": "data: &a {scenes: *a}",
    "a list in itself": "train: {freeze: &a [*a]}",
    "a mapping that is its key": "? &a {*a : 1}\n: 1",
    "a billion laughs": "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(20)).replace(
            "*a", "lol"),
    "a billion merges": "a: &a {x: 1}\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join([f'*{chr(97 + i)}'] * 10)}]}}\n" for i in range(20)),
    "a merge": "<<: {name: x}\ntrian: {}",
    "a value that does not fit its tag": "name: !!bool maybe",
    "an integer of nothing": "name: !!int ''",
    "a time that is none": "name: !!timestamp x",
    "a huge number": "train: {seed: 0x" + "f" * 50_000 + "}",
    "a number in sixties": "train: {seed: " + "1:" * 30_000 + "1}",
    "a number of a setting": "? 0x" + "f" * 50_000 + "\n: 1",
    "mappings nested deep": "{a: " * 10_000,
    "10,000 settings": "".join(f"x{i}: 1\n" for i in range(5000)),
    "a null character": "name: \0",
    "half a character": 'name: "\\ud800"',
    "not a mapping": "- a",
    "not YAML": "a: b: c",
    "an alias of nothing": "name: *x",
    "a directive": "%YAML 9.9\n---\nname: x",
    "two documents": "name: x\n---\nname: y",
}  # fmt: skip
for what, text in RECIPES.items():
    case(
        f"recipe with {what}",
        "own",
        replaced("recipe.yaml", lambda f, t=text: t.replace("CANARY", str(canary(f)))),
        r"recipe\.yaml",
    )
case("recipe of 70 kB", "own", replaced("recipe.yaml", "# " + "x" * 70_000), "more than 65536")
