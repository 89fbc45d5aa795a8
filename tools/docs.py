"""Write the generated parts of the documentation, or with --check say which are stale."""

import sys
from pathlib import Path

from cogapp import Cog

PAGES = ["README.md", *sorted(map(str, Path("docs").glob("*.md")))]

if __name__ == "__main__":
    mode = ["--check", "--diff"] if "--check" in sys.argv else ["-r"]
    sys.exit(Cog().main(["cog", *mode, *PAGES]))
