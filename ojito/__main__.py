"""`python -m ojito`: the same as the command `ojito`."""

import sys

from ojito.cli import main

if __name__ == "__main__":
    sys.exit(main())
