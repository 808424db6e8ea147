"""The commands, one module each with `run(args) -> exit code`. `table.py` has their arguments.

Results go to stdout, everything else to stderr, so that with `--json` stdout is JSON and nothing else.
"""
