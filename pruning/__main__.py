"""`python -m pruning`: the engine on the command line."""

import sys

from pruning.cli import main

if __name__ == "__main__":
    sys.exit(main())
