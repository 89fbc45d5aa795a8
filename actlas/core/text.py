"""Small helpers for messages, names and digests."""

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import xxhash


def nearest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Say which known names look most like `name`, or list some when none does."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.5)
    return f"did you mean {listing(close)}?" if close else f"there is {listing(names, 12)}"


def listing(names: Sequence[str], limit: int = 20) -> str:
    """Join names for a message, cut after `limit`."""
    shown = ", ".join(names[:limit])
    return (shown + (f", … ({len(names)} in all)" if len(names) > limit else "")) or "nothing"


def count(number: int, noun: str) -> str:
    """Write a number with its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def human_bytes(size: float) -> str:
    """Write a number of bytes in the largest unit that keeps it above 1."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def human_seconds(seconds: float) -> str:
    """Write a duration: 4.2 s, 3 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def canonical_json(value: Any) -> str:
    """Write JSON that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(*parts: Any) -> str:
    """Return the xxh3-128 digest (32 hex digits) of JSON-able parts."""
    return xxhash.xxh3_128_hexdigest(canonical_json(parts).encode())


def text_fault(text: Any) -> str | None:
    """Say what keeps a value from being a text that can be tokenized and stored."""
    if not isinstance(text, str) or not text.strip():
        return "is empty"
    if "\x00" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a surrogate pair"
    return None


def hash_parts(hasher: Any, parts: Iterable[str]) -> None:
    """Feed texts to a hasher, each with its length, so that where one ends counts too."""
    update = hasher.update
    for part in parts:
        data = part.encode()
        update(len(data).to_bytes(8, "little") + data)


def parts_digest(parts: Iterable[str]) -> str:
    """Return the xxh3-128 digest (32 hex digits) of texts in their order."""
    hasher = xxhash.xxh3_128()
    hash_parts(hasher, parts)
    return str(hasher.hexdigest())
