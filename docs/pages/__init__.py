"""What the documentation site is made of beside the pages of docs/: see `docs/conf.py`."""
