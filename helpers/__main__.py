"""The command line: `transfer --help` lists what it can do."""

import sys

from helpers.commands import main

if __name__ == "__main__":
    sys.exit(main())
