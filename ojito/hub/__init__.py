"""Models of the Hugging Face Hub: `download` decides what to fetch, `transfer` fetches it.

Where they lie on this machine is in `checkpoint/hub_cache.py`, which needs no network.
"""
