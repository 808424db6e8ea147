"""CIDEr-D of the captions that `ojito eval MODEL DATA --out FOLDER` kept, by the public scorer.

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.predictions.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["kind"] == "caption"]
    tokenizer = PTBTokenizer()
    references = tokenizer.tokenize(
        {i: [{"caption": text} for text in row["references"]] for i, row in enumerate(rows)}
    )
    for name, key in IMAGES.items():
        if all(row[key] is not None for row in rows):
            # The tokenizer would leave out an empty line, and with it shift all others.
            said = tokenizer.tokenize({i: [{"caption": row[key] or "."}] for i, row in enumerate(rows)})
            score, _ = Cider().compute_score(references, said)
            print(f"CIDEr-D with {name} images: {score:.4f} ({len(rows)} captions)")


if __name__ == "__main__":
    main()
