"""Pickles, modules and templates, in the folder and named by its files. None is ever opened."""

import pickle
import zipfile

from tests.hostile.changes import Cases, both, canary, edited, outside, removed, replaced
from tests.hostile.good_folders import BOTH

CASES = Cases()
case = CASES.add


class Bomb:
    """What a pickle may hold: unpickled, it makes the canary."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def bomb(folder):
    return pickle.dumps(Bomb(canary(folder)))


def zipped(folder):
    """As torch.save writes it."""
    path = outside(folder) / "zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bomb(folder))
    return path.read_bytes()


PICKLES = ("pytorch_model.bin", "model.pt", "model.pth", "consolidated.00.pth", "training_args.bin", "optimizer.pt",
           "scheduler.pt", "rng_state.pth", "model.pkl", "model.ckpt", "tokenizer.pkl", "model.joblib")  # fmt: skip
for name in PICKLES:
    case(f"{name} beside the weights", BOTH, replaced(name, bomb), "")
for name in PICKLES[:4]:
    pickled = both(removed("model.safetensors"), replaced(name, bomb))
    form = "in its authors' own form" if "consolidated" in name else "as pickles, which are programs; save them as"
    case(f"{name} instead of weights", BOTH, pickled, f"has its weights {form}")
case("no weights at all", BOTH, removed("model.safetensors"), r"has no model\.safetensors; give")
for what, content in (("pickle", bomb), ("zip", zipped)):
    case(
        f"weights are a {what}",
        BOTH,
        replaced("model.safetensors", content),
        "is a pickle of PyTorch's, under the name of",
    )
    case(f"tokenizer is a {what}", BOTH, replaced("tokenizer.json", content), r"tokenizer\.json")
    case(
        f"config is a {what}", BOTH, replaced("config.json", content), r"config\.json: is (not JSON|nested|empty|text)"
    )
    case(f"processor is a {what}", "own", replaced("processor.json", content), r"processor\.json")
    case(f"recipe is a {what}", "own", replaced("recipe.yaml", content), r"recipe\.yaml")
    case(f"index is a {what}", "llava-shards", replaced("model.safetensors.index.json", content), "is not JSON")
case(
    "index names pickles",
    "llava-shards",
    edited("model.safetensors.index.json", lambda v: v.update(weight_map={"a": "pytorch_model.bin"})),
    "no plain name",
)
case("index of pickles", BOTH, both(removed("model.safetensors"), replaced("pytorch_model.bin.index.json", {})),
     "has its weights as pickles")  # fmt: skip

EVIL = "import pathlib; (pathlib.Path(__file__).parent.parent / 'canary').touch()\n"
AUTO = {"AutoConfig": "evil.Config", "AutoModel": "evil--evil.Model", "AutoProcessor": "evil.Processor"}
MODULES = ("evil.py", "modeling_evil.py", "configuration_evil.py", "__init__.py", "sitecustomize.py", "conftest.py",
           "setup.py", "tokenizers.py", "safetensors.py", "torch.py", "handler.py")  # fmt: skip
for name in MODULES:
    case(f"{name} in the folder", BOTH, replaced(name, EVIL), "")
    case(
        f"{name} with auto_map",
        "llava",
        both(replaced(name, EVIL), edited("config.json", lambda v: v.update(auto_map=AUTO, trust_remote_code=True))),
        "",
    )
for name in ("custom_code", "custom_pipelines", "trust_remote_code", "auto_map", "architectures", "quantization_config",
             "_name_or_path", "tokenizer_class", "transformers_version", "torch_dtype"):  # fmt: skip
    case(f"config.json: {name}", "llava", edited("config.json", lambda v, n=name: v.update({n: AUTO})), None)
    case(f"config.json: {name}", "own", edited("config.json", lambda v, n=name: v.update({n: AUTO})), "does not hold")
for name in ("tokenizer_config.json", "preprocessor_config.json", "generation_config.json"):
    case(f"{name}: auto_map", "llava", edited(name, lambda v: v.update(auto_map=AUTO, processor_class="evil.P")), "")
case(
    "model_type of code", "llava", edited("config.json", lambda v: v.update(model_type="evil")), "Ojito knows paligemma"
)

TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**12) %}{% endfor %}{{ cycler.__init__"
for name, said in (("chat_template.jinja", "has a chat template"), ("chat_template.json", "is not JSON")):
    case(f"hostile {name}", ("llava", "paligemma"), replaced(name, TEMPLATE), said)
case(
    "hostile chat template",
    "llava",
    edited("tokenizer_config.json", lambda v: v.update(chat_template=TEMPLATE)),
    "has a chat template of a form that Ojito does not know",
)
case(
    "chat template of another kind",
    "llava",
    edited("tokenizer_config.json", lambda v: v.update(chat_template=[{}])),
    "one template is needed",
)
