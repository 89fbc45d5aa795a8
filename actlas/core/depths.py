"""How deep in its network a site lies, from 0 to 1, so that models of unlike length compare."""

import re
from collections.abc import Iterable

BLOCK = re.compile(r"(?:(?P<side>.*)\.)?layers\.(?P<number>\d+)(?:\..+)?")
SIDED = re.compile(r"(?:(?P<side>encoder|decoder)\.)?(?P<end>embed|final)(?:\.norm)?")


def relative_depth(site: str, sites: Iterable[str]) -> float | None:
    """Return 0 at the embedding, (i + 1) / n at block i of n and its branches, 1 after the last.

    sites: names of all sites of the model. Encoder and decoder count apart. None where the name
    says nothing of depth, or blocks are missing among the sites (an import of some layers).
    """
    if end := SIDED.fullmatch(site):
        return 0.0 if end["end"] == "embed" else 1.0
    own = BLOCK.fullmatch(site)
    if own is None:
        return None
    blocks = [found for name in sites if (found := BLOCK.fullmatch(name))]
    numbers = {int(b["number"]) for b in blocks if b["side"] == own["side"]}
    number, n = int(own["number"]), len(numbers)
    return (number + 1) / n if number < n and numbers == set(range(n)) else None
