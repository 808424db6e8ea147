"""`ojito demo`: train a small model, show what it learned, and what to try next."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from ojito import demo

INTERRUPTED = 130


def run(args: Namespace) -> int:
    """Run the demo and show its scores."""
    out = Path(args.out)
    scores = demo.run(
        out,
        recipe=args.preset,
        minutes=args.minutes or 0.0,
        short=args.short,
        device=args.device,
        seed=args.seed or 0,
        say=lambda text: print(text, file=sys.stderr),
    )
    if scores is None:
        print("interrupted before the first step; nothing was saved", file=sys.stderr)
        return INTERRUPTED
    if args.json:
        print(json.dumps(scores, indent=1))
        return 0
    print(f"\nafter {scores['train_seconds']:.0f} s of training, right answers to questions about")
    for key, about in (
        ("exact_match", "new images"),
        ("exact_match_unseen_combinations", "pairs of colour and kind that it never saw"),
        ("exact_match_blank_image", "nothing: the image is blank"),
        ("exact_match_exchanged_image", "another image than it is shown"),
    ):
        print(f"  {scores[key]:6.1%}  {about}")
    print(f"\nsee {out / 'report.html'} and {out / 'scores.json'}; next:")
    print(f"  ojito ask {out / 'model'} {out / 'images' / 'scene1.png'}    # chat with the model")
    print("  ojito train --data YOUR_FOLDER --out runs/mine --minutes 10    # your own images and captions")
    print("  ojito demo --preset scenes --out runs/scenes    # a bigger model; `ojito presets` lists all")
    return 0
