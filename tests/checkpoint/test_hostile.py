"""Folders that come from anywhere: broken, contradictory, and made to do harm.

Whatever is in a folder, loading it runs no code, reads no file outside, and takes no more memory and time than its
files are worth. It ends in the model, or in one line that names the file. A case changes a good folder; the tests also
go over every field of the good folders, and put every kind of nonsense into each. All of it is done once more in a
process that may take 256 MiB more than a good model needs, with a hook that hears of every file that Python opens.
"""

import base64
import contextlib
import dataclasses
import json
import math
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import models

from ojito.checkpoint import CheckpointError
from ojito.checkpoint.huggingface import read_folder
from ojito.checkpoint.tensors import INDEX, MAX_SHARDS, MAX_TENSORS, read_header, write_weights
from ojito.config import Config
from ojito.loading import load
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.settings import ConfigError, read

resource = pytest.importorskip("resource", reason="limits and alarms as on Unix")

ROOT = Path(__file__).parents[2]
SECONDS = 20  # a case that takes longer hangs; a usual one takes 0.05
MEMORY = 256 * 2**20  # bytes, over those of a process that has loaded a good model
LINE = 2100  # characters

# --------------------------------------------------------------------------------------------------------- good folders

OWN = {
    "own": {
        "model": {
            "vision": {"image_size": 16, "patch_size": 4, "width": 8, "layers": 1, "heads": 2, "mlp_dim": 8,
                       "stem": "conv", "stem_widths": [4, 4], "positions": "resized", "position_grid": 2},
            "connector": {"reduce": "pixel_shuffle", "factor": 2},
        },
        "processor": {"prompt": {"image": "inline"}, "tokenizer": {"added": ["<loc{00..03}>"], "special": ["<x>"]}},
    },
    "resnet": {
        "model": {
            "vision": {"kind": "resnet", "image_size": 16, "stem_width": 4, "blocks": [1, 1], "width": 8},
            "connector": {"reduce": "perceiver", "queries": 3, "layers": 1, "heads": 2, "norm": "layer"},
        },
        "processor": {"image": {"fit": "tiles", "longest_side": 32}},
    },
}  # fmt: skip

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
SIGLIP = {
    **SIZES, "model_type": "siglip_vision_model", "image_size": 16, "patch_size": 8, "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh", "num_channels": 3,
}  # fmt: skip
TEXT = {
    **SIZES, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 1200, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 64, "attention_bias": False,
}  # fmt: skip
LLAMA = {
    **TEXT, "model_type": "llama", "hidden_act": "silu", "mlp_bias": False,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 32},
}  # fmt: skip
GEMMA2 = {
    **TEXT, "model_type": "gemma2", "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 4,
    "layer_types": ["sliding_attention"], "query_pre_attn_scalar": 4, "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
}  # fmt: skip
GEMMA3 = {
    **GEMMA2, "model_type": "gemma3_text", "rope_local_base_freq": 10000.0, "attn_logit_softcapping": None,
    "final_logit_softcapping": None, "use_bidirectional_attention": False,
}  # fmt: skip
NORMALISED = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
SQUASHED = {**NORMALISED, "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 3}
CROPPED = {**SQUASHED, "size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
TILED = {**NORMALISED, "size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}, "do_image_splitting": True}

PUBLIC = {
    "paligemma": (
        {"model_type": "paligemma", "vision_config": SIGLIP, "text_config": GEMMA2, "tie_word_embeddings": True},
        SQUASHED,
    ),
    "llava": (
        {"model_type": "llava", "text_config": LLAMA, "vision_feature_layer": -2,
         "vision_config": {**SIGLIP, "model_type": "clip_vision_model", "num_hidden_layers": 2},
         "vision_feature_select_strategy": "default", "projector_hidden_act": "gelu",
         "multimodal_projector_bias": True, "tie_word_embeddings": False},
        CROPPED,
    ),
    "gemma3": (
        {"model_type": "gemma3", "vision_config": SIGLIP, "text_config": GEMMA3, "mm_tokens_per_image": 1,
         "tie_word_embeddings": True},
        SQUASHED,
    ),
    "smolvlm": (
        {"model_type": "smolvlm", "vision_config": {**SIGLIP, "model_type": "smolvlm_vision"}, "text_config": LLAMA,
         "scale_factor": 2, "tie_word_embeddings": False},
        TILED,
    ),
}  # fmt: skip


def make_own(folder, kind):
    config = read(
        Config,
        {**OWN[kind], "model": {**OWN[kind]["model"], "decoder": {
            "vocab_size": 300, "width": 8, "layers": 1, "heads": 2, "mlp_dim": 8, "max_positions": 64}}},
    )  # fmt: skip
    tokenizer = Tokenizer.train(config.processor.tokenizer, ["red"], 270)
    sizes = (config.model.vision.image_size, config.model.image_tokens, config.model.decoder.max_positions)
    torch.manual_seed(0)
    Pipeline(VLM(config.model), Processor(config.processor, tokenizer, *sizes), config).save(folder)


def make_public(folder, kind, max_shard=None):
    folder.mkdir()
    config, image = PUBLIC[kind]
    write(folder / "config.json", config)
    write(folder / "preprocessor_config.json", image)
    write(folder / "tokenizer_config.json", {"bos_token": "<bos>", "eos_token": {"content": "<eos>"}})
    write(folder / "generation_config.json", {"eos_token_id": [3]})
    vocabulary = tokenizers.Tokenizer(models.WordLevel({"red": 0, "?": 1}, unk_token="?"))
    vocabulary.add_special_tokens(["<bos>", "<eos>"])
    vocabulary.save(str(folder / "tokenizer.json"))
    described = read_folder(folder)
    torch.manual_seed(0)
    write_weights(folder, described.keys.to_theirs(VLM(described.model).state_dict()), max_shard)


def make(folder, kind):
    if kind in OWN:
        return make_own(folder, kind)
    name, _, sharded = kind.partition("-")
    return make_public(folder, name, 20_000 if sharded else None)


KINDS = (*OWN, *PUBLIC, "llava-shards")
BOTH = ("own", "llava")


def write(path, values):
    path.write_text(values if isinstance(values, str) else json.dumps(values))


@dataclasses.dataclass
class Good:
    """A good folder: its files, and the weights that it loads."""

    files: dict
    state: dict

    @classmethod
    def of(cls, folder):
        return cls(
            {p.name: p.read_bytes() for p in folder.iterdir()}, load(folder, "cpu", "float32").model.state_dict()
        )

    def copy(self, folder):
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The good folders by their kind."""
    made = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("good") / kind
        make(folder, kind)
        made[kind] = Good.of(folder)
    return made


# -------------------------------------------------------------------------------------------------------------- judging


class Hung(KeyboardInterrupt):
    """An interrupt, so that nothing on the way takes it for an error."""


def alarm(*_):
    raise Hung


def attempt(folder, state):
    """What is wrong with how this folder loads; nothing, if it loads the good weights or ends as it should.

    Returns:
        The message of the error, "" if it loads; and the complaints.
    """
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        found = load(folder, "cpu", "float32").model.state_dict()
    except (CheckpointError, ConfigError) as error:
        return str(error), list(complaints(folder, str(error)))
    except Hung:
        return "", [f"took more than {SECONDS} s"]
    except ValueError as error:
        return str(error), [] if "GiB for its weights" in str(error) else [f"ValueError: {error}"]
    except BaseException as error:  # noqa: BLE001 - that is what the tests are about
        return "", [f"{type(error).__name__}: {str(error)[:300]}"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # A config may say that the head is the embedding: then the file's own head is not loaded.
    same = all(key in state and torch.equal(tensor, state[key]) for key, tensor in found.items())
    return "", [] if same else ["loads other weights"]


def complaints(folder, message):
    if not message.isprintable() or len(message) > LINE:
        yield f"not one printable line: {message[:300]!r}"
    if str(folder) not in message:
        yield f"does not name the file: {message[:300]}"
    if not re.search(r"; |must |did you mean|, not \d", message):
        yield f"no remedy: {message[:300]}"


# ---------------------------------------------------------------------------------------------------------------- cases


@dataclasses.dataclass(frozen=True)
class Case:
    """A change to a good folder.

    Attributes:
        kind: The good folder's.
        change: Does it.
        said: In the error, a pattern; "" where the folder loads as before, None where either will do.
    """

    kind: str
    change: object
    said: str | None


CASES = {}


def case(name, kinds, change, said):
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        assert f"{kind}: {name}" not in CASES
        CASES[f"{kind}: {name}"] = Case(kind, change, said)


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")


def outside(folder):
    """A place beside the folder."""
    place = folder.parent / "outside"
    place.mkdir(exist_ok=True)
    return place


def canary(folder):
    """A file that exists once code of the folder has run."""
    return folder.parent / "canary"


def replaced(name, values):
    """The file holds this instead: bytes, text, or what is written as JSON."""

    def change(folder):
        content = values(folder) if callable(values) else values
        content = content if isinstance(content, (bytes, str)) else json.dumps(content)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def removed(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def both(*changes):
    def change(folder):
        for one in changes:
            one(folder)

    return change


def edited(name, edit):
    """The file's JSON, after `edit` has changed it."""

    def change(folder):
        values = json.loads((folder / name).read_text())
        edit(values)
        write(folder / name, values)

    return change


# Pickles and code. None is ever opened.


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
    case(f"{name} instead of weights", BOTH, pickled, "has its weights as pickles, which are programs; save them as")
case("no weights at all", BOTH, removed("model.safetensors"), r"has no model\.safetensors; give")
for what, content in (("pickle", bomb), ("zip", zipped)):
    case(f"weights are a {what}", BOTH, replaced("model.safetensors", content), "truncated, or no safetensors file")
    case(f"tokenizer is a {what}", BOTH, replaced("tokenizer.json", content), r"tokenizer\.json")
    case(f"config is a {what}", BOTH, replaced("config.json", content), r"config\.json is not JSON")
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
for name in ("chat_template.jinja", "chat_template.json"):
    case(f"hostile {name}", ("llava", "paligemma"), replaced(name, TEMPLATE), "")
case("hostile chat template", "llava", edited("tokenizer_config.json", lambda v: v.update(chat_template=TEMPLATE)), "")
case(
    "chat template of another kind",
    "llava",
    edited("tokenizer_config.json", lambda v: v.update(chat_template=[{}])),
    "",
)

# Every file, replaced by what is none, or not it.

FILES = {
    "own": ("config.json", "processor.json", "tokenizer.json", "model.safetensors", "recipe.yaml"),
    "llava": ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json",
              "preprocessor_config.json", "generation_config.json"),
    "llava-shards": ("model.safetensors.index.json", "model-00002-of-00004.safetensors"),
}  # fmt: skip
OPTIONAL = ("tokenizer_config.json", "preprocessor_config.json", "generation_config.json", "recipe.yaml")


def moved_out(name):
    def change(folder):
        target = outside(folder) / name
        (folder / name).rename(target)
        link(folder / name, target)

    return change


def linked_to(name, target):
    return both(removed(name), lambda folder: link(folder / name, target))


def piped(name):
    def change(folder):
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes here")
        os.mkfifo(folder / name)

    return both(removed(name), change)


def sparse(name, size):
    def change(folder):
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return change


def unreadable(name):
    def change(folder):
        (folder / name).chmod(0)
        if os.access(folder / name, os.R_OK):
            pytest.skip("this user may read everything")

    return change


def halved(name):
    def change(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change


for kind, names in FILES.items():
    for name in names:
        own = re.escape(name)
        # What is there, but is no file, counts as missing; only a recipe would be a loss that nobody notices.
        without_index = r"has no model\.safetensors"
        missing = None if name in OPTIONAL else without_index if name == INDEX else f"has no {own}"
        no_file = own if name == "recipe.yaml" else missing
        case(f"{name} links to a file outside", kind, moved_out(name), f"{own} is a link to a place outside")
        case(f"{name} links to /etc/passwd", kind, linked_to(name, "/etc/passwd"), f"{own} is a link")
        case(
            f"{name} links to a file above",
            kind,
            both(lambda folder: (outside(folder) / "x").touch(), linked_to(name, "../outside/x")),
            f"{own} is a link",
        )
        case(f"{name} links to nothing", kind, linked_to(name, "nothing"), missing)
        case(f"{name} links to itself", kind, linked_to(name, name), missing)
        case(f"{name} links to a device", kind, linked_to(name, "/dev/zero"), no_file)
        case(f"{name} links to a process", kind, linked_to(name, "/proc/self/maps"), f"{own} is a link")
        case(f"{name} is a pipe", kind, piped(name), no_file)
        case(f"{name} is a folder", kind, both(removed(name), lambda f, n=name: (f / n).mkdir()), no_file)
        case(f"{name} may not be read", kind, unreadable(name), f"{own} may not be read; allow it")
        case(f"{name} is missing", kind, removed(name), missing)
        case(f"{name} is empty", kind, replaced(name, ""), own)
        case(f"{name} is cut in half", kind, halved(name), own if name != "recipe.yaml" else None)
        case(f"{name} is of zeros", kind, replaced(name, bytes(5000)), own)
        case(f"{name} is not UTF-8", kind, replaced(name, b"\xff\xfe{}\xc3"), own)
        if name.endswith((".json", ".yaml")):
            for what, text in (
                ("null", "null"),
                ("a list", "[]"),
                ("a number", "3"),
                ("a text", '"x"'),
                ("NaN", "NaN"),
            ):
                case(f"{name} is {what}", kind, replaced(name, text), own)
            case(f"{name} is an empty mapping", kind, replaced(name, "{}"), None)
            case(f"{name} is nested deep", kind, replaced(name, "[" * 60_000), own)
            case(f"{name} is a mapping nested deep", kind, replaced(name, '{"a":' * 10_000), own)
            case(f"{name} is huge", kind, sparse(name, 65 * 2**20), f"{own} has 68157440 bytes, more than")
        if name.endswith(".json"):
            case(f"{name} holds a key twice", kind, replaced(name, lambda f, n=name: twice(f / n)), None)
            case(f"{name} begins with a mark", kind, replaced(
                name, lambda f, n=name: b"\xef\xbb\xbf" + (f / n).read_bytes()), own)  # fmt: skip


def twice(path):
    text = path.read_text()
    return "{" + f'"a": 1, "a": 2, {text.strip()[1:]}'


# The index of shards.

SHARDS = tuple(f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4))


def one_named(file):
    """The index says that a tensor is in this file."""

    def edit(values):
        values["weight_map"][next(iter(values["weight_map"]))] = file

    return edited(INDEX, edit)


def all_named(file):
    """The index calls the first shard so."""

    def edit(values):
        names = values["weight_map"]
        values["weight_map"] = {key: file if shard == SHARDS[0] else shard for key, shard in names.items()}

    return edited(INDEX, edit)


PATHS = {
    "a file above": "../x.safetensors",
    "a file far above": "../../../../../../etc/passwd",
    "an absolute path": "/etc/passwd.safetensors",
    "a backslash": "..\\x.safetensors",
    "a drive": "C:\\x.safetensors",
    "a short drive": "C:x.safetensors",
    "a share": "\\\\host\\x.safetensors",
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "a subfolder": "sub/x.safetensors",
    "a home": "~/x.safetensors",
    "a null character": "x\0.safetensors",
    "a line break": "x\n.safetensors",
    "an escape sequence": "\x1b[2Jx.safetensors",
    "an address": "https://example.org/x.safetensors",
    "a hidden file": ".x.safetensors",
    "a long name": "x" * 300 + ".safetensors",
    "a very long name": "x" * 100_000,
    "half a character": "\ud800.safetensors",
    "a variable": "$HOME.safetensors",
    "a stream": "x.safetensors:y",
    "another kind": "model.bin",
    "the config": "config.json",
    "itself": INDEX,
    "a space": " .safetensors",
    "a number": 3,
    "a list": ["x"],
    "a mapping": {"x": 1},
    "true": True,
    "null": None,
}
for what, path in PATHS.items():
    case(f"index names {what}", "llava-shards", one_named(path), r"index\.json names .*, which is no plain name of")
case(
    "index in our own folder names a file above",
    "own",
    both(removed("model.safetensors"), replaced(INDEX, {"weight_map": {"a": "../x.safetensors"}})),
    "no plain name",
)
case("index names a missing shard", "llava-shards", all_named("x.safetensors"), r"has no x\.safetensors")
case(
    "index names a folder",
    "llava-shards",
    both(all_named("x.safetensors"), lambda folder: (folder / "x.safetensors").mkdir()),
    r"has no x\.safetensors",
)
case(
    "index names another shard", "llava-shards", one_named(SHARDS[1]), "does not hold what model.safetensors.index.json"
)
case(
    "index lacks a tensor",
    "llava-shards",
    edited(INDEX, lambda v: v["weight_map"].pop(next(iter(v["weight_map"])))),
    "does not hold what",
)
case(
    "index has a tensor too many",
    "llava-shards",
    edited(INDEX, lambda v: v["weight_map"].update(x=SHARDS[0])),
    r"does not hold what .* \(x\)",
)
case(
    "index lacks a shard",
    "llava-shards",
    edited(INDEX, lambda v: v.update(weight_map={k: s for k, s in v["weight_map"].items() if s != SHARDS[2]})),
    "missing",
)
case(
    "a tensor is in two shards",
    "llava-shards",
    lambda folder: (folder / SHARDS[1]).write_bytes((folder / SHARDS[0]).read_bytes()),
    "does not hold what",
)
case(
    "two names for one shard",
    "llava-shards",
    both(lambda folder: link(folder / "x.safetensors", SHARDS[0]), one_named("x.safetensors")),
    "does not hold what",
)
for what, weight_map in (
    ("no", None), ("a list as", []), ("a text as", "x"), ("a number as", 3), ("an empty", {}), ("a nested", {"a": {}}),
):  # fmt: skip
    case(
        f"index has {what} weight_map",
        "llava-shards",
        edited(INDEX, lambda v, m=weight_map: v.update(weight_map=m)),
        r"index\.json (has no weight_map|names \{\})",
    )
case(
    "index names 100,000 tensors",
    "llava-shards",
    replaced(INDEX, lambda _: {"weight_map": {f"t{i}": SHARDS[0] for i in range(100_000)}}),
    f"names 100000 tensors, more than {MAX_TENSORS}",
)
case(
    "index names 20,000 shards",
    "llava-shards",
    replaced(INDEX, lambda _: {"weight_map": {f"t{i}": f"s{i}.safetensors" for i in range(MAX_TENSORS)}}),
    f"20000 files, more than {MAX_SHARDS}",
)
case("index beside the weights is not looked at", BOTH, replaced(INDEX, {"weight_map": {"a": "../x"}}), "")
case(
    "index of 7 MiB of lists",
    "llava-shards",
    replaced(INDEX, lambda _: '{"weight_map": [' + "[]," * (7 * 2**20 // 3) + "0]}"),
    "too many values",
)

# Weights.


def split_up(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def header(edit):
    """The weights' header, after `edit` has changed it; if it returns something, that instead."""

    def change(folder):
        path = folder / "model.safetensors"
        values, data = split_up(path.read_bytes())
        made = edit(values)
        path.write_bytes(joined(values if made is None else made, data))

    return change


def first(**fields):
    """One tensor's entry."""

    def edit(values):
        entry = next(v for k, v in values.items() if k != "__metadata__" and v["dtype"] == "F32")
        entry.update(fields)

    return edit


def raw(content):
    return replaced("model.safetensors", content)


def swapped(values):
    """Two tensors change places: still no gap, no overlap."""
    entries = [v for k, v in values.items() if k != "__metadata__"]
    for entry in entries[1:]:
        if entry["shape"] != entries[0]["shape"]:
            entry["data_offsets"], entries[0]["data_offsets"] = entries[0]["data_offsets"], entry["data_offsets"]
            break


def entry(shape=(1,), start=0, end=4, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


DAMAGED = "damaged header|truncated|differing|is damaged"
for kind in BOTH:
    case("header of length 0", kind, raw(joined(b"", b"x" * 50)), "damaged header")
    for length in (1, 7, 2**24, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        case(f"header of length {length}", kind, raw(joined(b"{}", b"x" * 50, length)), "truncated|damaged header")
    case(
        "header longer than allowed",
        kind,
        lambda folder: (
            sparse("model.safetensors", 20 * 2**20)(folder),
            os.pwrite(fd := os.open(folder / "model.safetensors", os.O_WRONLY), struct.pack("<Q", 2**23 + 1), 0),
            os.close(fd),
        ),
        "has a header of 8388609 bytes, more than 8388608",
    )
    for what, text in {
        "text": b'"x"', "list": b"[]", "null": b"null", "number": b"1", "not UTF-8": b"\xff\xfe\xfd", "NaN": b"NaN",
        "deep": b"[" * 100_000, "deep mappings": b'{"a":' * 50_000, "duplicate keys": b'{"a": {}, "a": {}}',
        "8 MiB of lists": b'{"a": [' + b"[]," * 2_500_000 + b"0]}", "nothing": b"{}", "spaces": b" " * 1000,
    }.items():  # fmt: skip
        case(f"header is {what}", kind, raw(joined(text, bytes(4))), DAMAGED)
    for what, edit in {
        "overlapping": first(data_offsets=[0, 4]), "negative": first(data_offsets=[-4, 0]), "backward":
        first(data_offsets=[64, 0]), "beyond the file": first(data_offsets=[0, 2**40]), "huge":
        first(data_offsets=[2**63, 2**64]), "huger": first(data_offsets=[10**30, 10**31]), "fractions":
        first(data_offsets=[0.0, 4.0]), "a text": first(data_offsets="04"), "one": first(data_offsets=[0]), "three":
        first(data_offsets=[0, 4, 8]), "null": first(data_offsets=None), "true": first(data_offsets=[False, True]),
    }.items():  # fmt: skip
        case(f"offsets are {what}", kind, header(edit), "damaged header")
    case("offsets are swapped", kind, header(swapped), "damaged header")
    for what, shape in {
        "larger than its bytes": [2**40], "beyond 64 bits": [2**32, 2**32, 2**32], "negative": [-1], "fractions": [1.5],
        "a text": "12", "null": None, "true": [True], "a number": 4, "nested": [[4]], "10,000 axes": [1] * 10_000,
        "a huge number": [10**4000], "zero": [0],
    }.items():  # fmt: skip
        case(f"shape is {what}", kind, header(first(shape=shape)), "damaged header")
    for dtype in ("F8_E4M3", "F8_E5M2", "F4", "I4", "BOOL", "U8", "U64", "C64", "F32 ", "f32", "", "X" * 10**5):
        case(f"dtype is {dtype[:9]!r}", kind, header(first(dtype=dtype)), DAMAGED)
    for dtype in (None, 3, [], {}, True):
        case(f"dtype is {dtype!r}", kind, header(first(dtype=dtype)), "damaged header")
    for dtype in ("I32", "F16", "F64", "I64"):
        case(f"dtype is {dtype}, not F32", kind, header(first(dtype=dtype)), DAMAGED)
    for what, metadata in {"list": [], "text": "x", "nested": {"a": {}}, "number": {"a": 1}, "null": None}.items():
        case(f"metadata is a {what}", kind, header(lambda v, m=metadata: v.update(__metadata__=m)), None)
    case("100,000 tensors", kind, raw(lambda _: joined({f"t{i}": entry((0,), 0, 0) for i in range(100_000)})),
         "damaged header|more than 8388608")  # fmt: skip
    case(
        "20,000 tensors and too many layers",
        kind,
        both(
            raw(lambda _: joined({f"t{i}": entry((0,), 0, 0) for i in range(20_000)})),
            edited(
                "config.json",
                lambda v: (
                    v["model"]["decoder"].update(layers=3_500)
                    if "model" in v
                    else v["text_config"].update(num_hidden_layers=3_500)
                ),
            ),
        ),
        r"asks for 350\d layers, but 20000 tensors are too few",
    )
    case(
        "a name of 1 MB",
        kind,
        header(lambda v: v.update({"head.attention" * 70_000 + "\n": entry((0,), 0, 0)})),
        DAMAGED,
    )
    case("a name of control characters", kind, header(lambda v: v.update({"\x1b[2J\r\nx\ud800": entry((0,), 0, 0)})),
         r"unexpected \(\\x1b\[2J")  # fmt: skip
    case("a tensor too many", kind, header(lambda v: v.update(x=entry((0,), 0, 0))), r"1 unexpected \(x\)")
    case("other tensors", kind, raw(joined({"a": entry()}, bytes(4))), "are too few|missing")
    case(
        "a byte too many",
        kind,
        raw(lambda folder: (folder / "model.safetensors").read_bytes() + b"x"),
        "truncated",
    )
    case("a sparse file", kind, sparse("model.safetensors", 2**40), "damaged header")
    case("weights of another model", kind, replaced("model.safetensors", joined({}, b"")), "too few|missing")

# Fields that contradict each other, and files of two models. (Single fields: see the walk below.)

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

# Tokenizers.

ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def token(number, content):
    return {"id": number, "content": content, **ADDED}


def vocabulary(**fields):
    return edited("tokenizer.json", lambda v: v.update(fields))


def bpe(**fields):
    model = {"type": "BPE", "vocab": {"<eos>": 0, "<bos>": 1, "a": 2, "b": 3, "ab": 4}, "merges": [["a", "b"]]}
    return vocabulary(model={**model, **fields}, added_tokens=[])


def split_by(pattern):
    return vocabulary(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    )


NO_TOKENIZER = "is not a tokenizer"
TOKENIZERS = {
    "ids beyond 32 bits": (bpe(vocab={"<eos>": 2**32}), NO_TOKENIZER),
    "ids below 0": (bpe(vocab={"<eos>": -1}), NO_TOKENIZER),
    "an id beyond the vocabulary": (bpe(vocab={"<eos>": 2**32 - 1, "<bos>": 1}, merges=[]), "4294967296"),
    "a merge of nothing": (bpe(merges=[["x", "y"]]), NO_TOKENIZER),
    "a merge of one": (bpe(merges=["a"]), NO_TOKENIZER),
    "a prefix that is longer than its tokens": (bpe(continuing_subword_prefix="##########"), NO_TOKENIZER),
    "no eos": (bpe(vocab={"a": 0}, merges=[]), "eos|has none of the tokens|not a token of"),
    "no tokens": (bpe(vocab={}, merges=[]), "eos|has none of the tokens|not a token of"),
    "an unknown model": (vocabulary(model={"type": "Evil"}), NO_TOKENIZER),
    "no model": (vocabulary(model=None), NO_TOKENIZER),
    "another version": (vocabulary(version="9.9"), NO_TOKENIZER),
    "30,000 special tokens": (
        vocabulary(added_tokens=[token(2 + i, f"<{i}>") for i in range(30_000)]), "30000 added tokens"),
    "added tokens without a field": (vocabulary(added_tokens=[{"id": 1}]), NO_TOKENIZER),
    "added tokens of another kind": (vocabulary(added_tokens={"a": 1}), NO_TOKENIZER),
    "ids that are lists": (vocabulary(added_tokens=[token([], "x")]), NO_TOKENIZER),
    "a pattern that is none": (split_by("("), NO_TOKENIZER),
    "a pattern nested deep": (split_by("(" * 50_000 + ")" * 50_000), NO_TOKENIZER),
    "a pattern that takes for ever": (split_by("(a+)+(a|aa)+$"), None),
    "a pattern that counts far": (split_by("((a{1000}){1000}){1000}"), None),
    "pieces of no length": (vocabulary(pre_tokenizer={"type": "FixedLength", "length": 0}), NO_TOKENIZER),
    "parts nested deep": (vocabulary(pre_tokenizer=json.loads(
        '{"type":"Sequence","pretokenizers":[' * 200 + "]}" * 200)), NO_TOKENIZER),
    "an unknown part": (vocabulary(normalizer={"type": "Evil", "code": "import os"}), NO_TOKENIZER),
    "padding without end": (vocabulary(padding={
        "strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "x"}), ""),
    "a mean template": (vocabulary(post_processor={
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [],
        "special_tokens": {}}), None),
    "13 million lists": (
        replaced("tokenizer.json", lambda _: '{"model":[' + "[]," * (13 * 10**6) + "[]]}"), "more than 4,000,000"),
    "a name with a line break": (
        vocabulary(added_tokens=[token(2, "<bos>\n"), token(3, "<eos>\n")]), None),
}  # fmt: skip
for charsmap in (b"", b"\0\0\0", b"\xff\xff\xff\xff", struct.pack("<I", 2**30) + bytes(8), b"\4\0\0\0" + bytes(4)):
    coded = base64.b64encode(charsmap).decode()
    precompiled = vocabulary(normalizer={"type": "Precompiled", "precompiled_charsmap": coded})
    TOKENIZERS[f"a charsmap of {charsmap[:5]!r}"] = (precompiled, NO_TOKENIZER)
TOKENIZERS["a charsmap under a hidden name"] = (
    both(
        vocabulary(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        replaced(
            "tokenizer.json", lambda f: (f / "tokenizer.json").read_text().replace("precompiled_", "\\u0070recompiled_")
        ),
    ),
    NO_TOKENIZER,
)
for what, (change, said) in TOKENIZERS.items():
    case(f"tokenizer with {what}", BOTH, change, said)

for what, value in {
    "a number": 3, "a list": ["x"], "an unknown token": "<evil>", "1 MB": "x" * 10**6, "a line break": "\n",
    "half": "\ud800", "a mapping": {"content": 3}, "nothing": "", "null": None, "nested": {"content": {"content": "x"}},
}.items():  # fmt: skip
    case(
        f"eos_token is {what}", "llava", edited("tokenizer_config.json", lambda v, x=value: v.update(eos_token=x)), None
    )
for what, value in {
    "a text": "x", "a fraction": 1.5, "beyond": 2**70, "below 0": -1, "true": True, "nested": [[1]], "a million": list(
        range(10**6)), "null": None, "a mapping": {},
}.items():  # fmt: skip
    case(
        f"eos_token_id is {what}",
        "llava",
        edited("generation_config.json", lambda v, x=value: v.update(eos_token_id=x)),
        None,
    )

# Our own settings.

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
    ("a picture that is not written", lambda v: v["prompt"].update(picture="x"), "must hold <image>"),
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

# ---------------------------------------------------------------------------------------------------------------- tests


def sampled(number, of):
    """Every so many-th case now, and the others where there is time."""
    return [pytest.param(name, marks=() if i % of == number else pytest.mark.slow) for i, name in enumerate(CASES)]


@pytest.mark.parametrize("name", sampled(0, 3))
def test_hostile_folder_is_refused_in_one_line_or_loads_as_before(good, tmp_path, name):
    one = CASES[name]
    folder = good[one.kind].copy(tmp_path / "model")
    one.change(folder)
    said, wrong = attempt(folder, good[one.kind].state)
    assert not wrong
    assert not canary(folder).exists()
    if one.said is not None:
        assert re.search(one.said, said) if one.said else not said


def test_there_are_more_than_two_hundred_hostile_folders():
    assert len(CASES) > 200
    assert {one.kind for one in CASES.values()} >= {*BOTH, "llava-shards"}


NONSENSE = [
    2**40, 2**39, 10**6, 10**18, 10**30, 10**400, 0, -1, -(2**63), 7, 0.5, -0.5, 1e308, math.nan, math.inf, -math.inf,
    True, False, None, "", "x", "16", "../x", "\x1b[2J\n", "\ud800", "x" * 10_000, [], [1], ["x"] * 1000, [[[[]]]], {},
    {"a": 1}, {"kind": "x"}, {"content": []}, json.loads("[" * 150 + "]" * 150), "DROP",
]  # fmt: skip
GIANT = (2**40, 2**39, 10**6, 10**18, 10**30, ["x"] * 1000)


def places(values, path=()):
    """Every place in what a JSON file holds: each value, and each group; of a vocabulary, the first entries."""
    if path:
        yield path
    children = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(children)[: 3 if len(values) > 50 else None] if children else ():
        yield from places(value, (*path, key))


def with_nonsense(text, path, nonsense):
    """The file's text with this at that place."""
    values = json.loads(text)
    node = values
    for key in path[:-1]:
        node = node[key]
    if nonsense == "DROP":
        del node[path[-1]]
    else:
        node[path[-1]] = nonsense
    return json.dumps(values)


WALKED = [
    (kind, name)
    for kind in KINDS
    for name in ("config.json", "processor.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
                 "generation_config.json", INDEX)
    if not (name == INDEX and kind != "llava-shards") and not (name != INDEX and kind == "llava-shards")
    and not (kind in OWN and name.endswith("_config.json")) and not (kind in PUBLIC and name == "processor.json")
]  # fmt: skip


def walk(good, folder, kind, name, per_place):
    """What goes wrong when nonsense is put into each place of a file; and how often that was done.

    Args:
        good: The good folders.
        folder: For the bad ones.
        kind: Of the folder.
        name: Of the file.
        per_place: How much nonsense, or which.
    """
    text, count, wrong = good[kind].files[name].decode(), 0, []
    good[kind].copy(folder)
    for path in places(json.loads(text)):
        start = zlib.crc32(f"{kind}{name}{path}".encode())  # every place gets other nonsense
        chosen = per_place
        if isinstance(per_place, int):
            chosen = [NONSENSE[(start + i) % len(NONSENSE)] for i in range(per_place)]
        for nonsense in chosen:
            (folder / name).write_text(with_nonsense(text, path, nonsense))
            count += 1
            found = attempt(folder, good[kind].state)[1]
            wrong += [f"{kind}/{name}: {path} = {str(nonsense)[:40]}: {complaint}" for complaint in found]
    return count, wrong


@pytest.mark.parametrize("per_place", [1, pytest.param(len(NONSENSE), marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "name"), WALKED)
def test_nonsense_anywhere_in_a_file_is_refused_in_one_line_or_changes_nothing(good, tmp_path, kind, name, per_place):
    count, wrong = walk(good, tmp_path / "model", kind, name, per_place)
    assert count > 0
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("step", [499, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", BOTH)
def test_weights_cut_off_at_any_byte_are_refused(good, tmp_path, kind, step):
    folder = good[kind].copy(tmp_path / "model")
    whole = good[kind].files["model.safetensors"]
    assert len(read_header(folder)) > 20
    for length in range(0, len(whole), step):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            read_header(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and hooks as on Linux")
@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_hostile_folders_read_nothing_outside_and_take_no_memory(tmp_path, share):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(share)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "0"},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], "\n".join(result["wrong"])
    assert result["count"] > 200 / share
    assert result["opened"] > 200


# --------------------------------------------------------------------------------------------- the watched process

FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "pickle.",
             "ctypes.", "os.remove", "os.rename", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate",
             "shutil.", "marshal.", "os.putenv", "urllib.", "ftplib.", "http.")  # fmt: skip


class Watch:
    """Hears of what Python does while it is on."""

    def __init__(self):
        self.folder, self.seen, self.opened = None, [], 0
        installed = {sys.prefix, sys.base_prefix, str(ROOT / "ojito")}
        self.allowed = [os.path.realpath(place) + os.sep for place in installed] + ["/proc/meminfo"]
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        if self.folder is None:
            return
        if event == "open" and isinstance(args[0], (str, bytes)):
            path, (mode, flags) = os.path.realpath(os.fsdecode(args[0])), args[1:3]
            self.opened += 1
            if not path.startswith((str(self.folder) + os.sep, *self.allowed)):
                self.seen.append(f"opened {path}")
            if set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"wrote {path}")
        elif event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {str(args)[:200]}")
        elif event == "import" and args[1] and str(self.folder) in str(args[1]):
            self.seen.append(f"imported {args[0]}")
        elif event in ("compile", "exec"):
            code = getattr(args[0], "co_filename", args[1] if len(args) > 1 else "")
            if str(self.folder) in str(code):
                self.seen.append(f"{event} {code}")


def try_out(watch, limit, place):
    """Whether the watch hears, and the limit holds: else all that follows would prove nothing."""
    (place / "outside").write_bytes(pickle.dumps(1))
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    watch.folder = place / "inside"
    pickle.loads((place / "outside").read_bytes())
    with contextlib.suppress(FileNotFoundError):
        subprocess.run([str(place / "inside")], check=False)
    with pytest.raises(MemoryError):
        bytearray(MEMORY + 64 * 2**20)  # what was free before is not in the limit
    watch.folder = None
    heard = " ".join(watch.seen)
    assert f"opened {place / 'outside'}" in heard
    assert "subprocess.Popen" in heard
    watch.seen.clear()


def main(place, share):
    place, made = Path(os.path.realpath(place)), {}
    for kind in KINDS:
        make(place / f"good-{kind}", kind)
        made[kind] = Good.of(place / f"good-{kind}")
    watch, wrong, count = Watch(), [], 0
    status = Path("/proc/self/status").read_text()
    limit = int(re.search(r"VmSize:\s+(\d+) kB", status)[1]) * 1024 + MEMORY
    try_out(watch, limit, place)
    for number, (name, one) in enumerate(CASES.items()):
        if number % share != share - 1:
            continue
        with tempfile.TemporaryDirectory(dir=place) as parent:
            folder = made[one.kind].copy(Path(os.path.realpath(parent)) / "model")
            try:
                one.change(folder)
            except pytest.skip.Exception:
                continue
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            watch.folder = folder
            said, found = attempt(folder, made[one.kind].state)
            watch.folder = None
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            count += 1
            if canary(folder).exists():
                found = [*found, "ran code"]
            wrong += [f"{name}: {complaint} ({said[:100]})" for complaint in [*found, *watch.seen]]
            watch.seen.clear()
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    for kind in KINDS:
        if kind != "llava-shards":
            walked, found = walk(made, place / f"walked-{kind}", kind, "config.json", GIANT[::share])
            count, wrong = count + walked, wrong + found
    print(json.dumps({"count": count, "wrong": wrong, "opened": watch.opened}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
