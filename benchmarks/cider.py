"""CIDEr-D of the captions that `ojito eval MODEL DATA --out FOLDER` kept, by the public scorer, beside baselines.

These are: the captions of other images, one caption for all images, and what a person wrote.

In an environment of its own, with Java for its tokenizer:

python -m venv coco && coco/bin/pip install pycocoevalcap==1.2
coco/bin/python benchmarks/cider.py FOLDER/predictions.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

IMAGES = {"own": "answer", "blank": "blank", "exchanged": "exchanged"}


def cider(said: list[str], references: list[list[str]]) -> float:
    """CIDEr-D of one caption for each image, tokenized as its authors do."""
    tokenizer = PTBTokenizer()
    theirs = tokenizer.tokenize({i: [{"caption": text} for text in texts] for i, texts in enumerate(references)})
    # The tokenizer would leave out an empty line, and with it shift all others.
    ours = tokenizer.tokenize({i: [{"caption": text or "."}] for i, text in enumerate(said)})
    return float(Cider().compute_score(theirs, ours)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.predictions.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["kind"] == "caption"]
    references = [row["references"] for row in rows]
    for name, key in IMAGES.items():
        if all(row[key] is not None for row in rows):
            print(f"with {name} images: {cider([row[key] for row in rows], references):.4f} ({len(rows)} captions)")
    baselines = json.loads((args.predictions.parent / "scores.json").read_text(encoding="utf-8")).get("baselines")
    if baselines:
        constant = baselines["constant"]
        print(f'always "{constant}": {cider([constant] * len(rows), references):.4f}')
    if all(len(texts) > 1 for texts in references):
        people = cider([texts[0] for texts in references], [texts[1:] for texts in references])
        print(f"what one person wrote, beside the others: {people:.4f}")


if __name__ == "__main__":
    main()
