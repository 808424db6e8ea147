"""What the command line does: a module a command, each with `run(args) -> exit code`. Their arguments: `ojito/cli.py`.

Results go to stdout and everything else to stderr, so that `--json` is JSON and nothing else.
"""
