"""Quality: what each small architecture learns in the same wall time from the same data, and how much of it by looking.

    python -m benchmarks.quality --data-folder DATA                      # all, then the table
    python -m benchmarks.quality --data-folder DATA --only tiny --on nlvr
    python -m benchmarks.quality --table                                 # the table alone, of what was measured before

Each row of the table is a recipe in `architectures/`: the peers' designs, rebuilt in Ojito's parts at about the size
of `tiny`, and `tiny` without what it owes to its training. What they have in common is in `terms.py`: data, image size,
vocabulary, questions asked of one look, optimizer and minutes. Each is trained on one thread, and asked about images
that it has not seen: the right ones, those of other rows, and blank ones.

DATA holds `flickr8k_128/captions.jsonl` (photographs with five captions, splits train and dev) and
`nlvr/questions.jsonl` (questions about drawn scenes, splits train and val); `scenes` is drawn by Ojito.
"""
