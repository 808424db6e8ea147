"""A row as the library writes it, and what is learned at each of its places. Run it: python diagram.py"""

from ojito.processor.prompts import Row
from ojito.records import IGNORE, IMAGE, SHARED

words = ["<bos>", "what", "is", "this", "\\n", "a", "cat", "<eos>"]
row = Row()
place = row.add([IMAGE] * 4, segment=SHARED, start=0, prefix=True, learn=False)
place = row.add(range(5), segment=SHARED, start=place, prefix=True, learn=False)
row.add(range(5, 8), segment=SHARED, start=place, prefix=False, learn=True)
tokens = ["<img>" if token == IMAGE else words[token] for token in row.tokens]
targets = ["." if target == IGNORE else words[target] for target in row.targets]
prefix = ["x" if one else "." for one in row.prefix]
for name, cells in (("position", row.positions), ("token", tokens), ("in the prefix", prefix), ("learns", targets)):
    print(f"{name:<14}" + "".join(f"{cell!s:>6}" for cell in cells))
