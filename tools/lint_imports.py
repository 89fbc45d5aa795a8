"""Check the import contracts (a module, so that it runs from a path with a space in it)."""

import sys

from importlinter.cli import lint_imports

if __name__ == "__main__":
    sys.exit(lint_imports())
