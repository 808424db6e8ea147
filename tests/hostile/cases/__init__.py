"""Every way to break a folder, or to make it do harm: a module a subject, all of them together here."""

from tests.hostile.cases import code, configs, files, settings, shards, tokenizers, weights

# In this order they are counted, where only every so many-th is tried.
PARTS = (code, files, shards, weights, configs, tokenizers, settings)
CASES = {name: case for part in PARTS for name, case in part.CASES.items()}
assert len(CASES) == sum(len(part.CASES) for part in PARTS)
