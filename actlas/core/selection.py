"""Which sites a pattern stands for."""

import re
from collections.abc import Iterable

from .errors import SiteError
from .sites import Site
from .text import nearest
from .tracing import Call


def matching_paths(pattern: str, calls: list[Call]) -> list[str]:
    """Return the submodules that a glob stands for, in the order of the forward pass."""
    glob = _glob(pattern)
    return list(dict.fromkeys(call.path for call in calls if glob.fullmatch(call.path)))


def select_sites(patterns: str | Iterable[str], sites: dict[str, Site]) -> list[str]:
    """Return the names that patterns stand for, each once, in the order of the forward pass.

    A pattern is a name, a glob in which `*` does not cross a dot (`layers.*`), a negative
    index (`layers.-1`), `residual` for the residual stream at every depth (of the encoder
    in an encoder–decoder), or `decomposition` for what the terms of a linear decomposition are
    made of (see `decomposition_sites`). Several are separated by commas. Raises SiteError with the
    nearest names where nothing matches.
    """
    given = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    chosen: set[str] = set()
    for pattern in (p.strip() for p in given):
        matches = _matches(pattern, sites)
        if not matches:
            raise SiteError(f"no site {pattern!r}; {nearest(pattern, sites)}")
        chosen |= matches
    return [name for name in sites if name in chosen]


def _matches(pattern: str, sites: dict[str, Site]) -> set[str]:
    if pattern in sites:
        return {pattern}
    if pattern == "residual":
        return {n for n, site in sites.items() if site.residual and site.stack != "decoder"}
    if preset := re.fullmatch(r"(encoder\.|decoder\.)?decomposition", pattern):
        return decomposition_sites(sites, preset[1])
    negative = re.fullmatch(r"((?:encoder\.|decoder\.)?layers\.)(-\d+)(\..+)?", pattern)
    if negative:
        prefix, index, rest = negative[1], int(negative[2]), negative[3] or ""
        numbers = (re.fullmatch(re.escape(prefix) + r"(\d+)", name) for name in sites)
        deepest = max((int(match[1]) for match in numbers if match), default=-1)
        return {f"{prefix}{deepest + 1 + index}{rest}"} & set(sites)
    if "*" not in pattern:
        return set()
    glob = _glob(pattern)
    return {name for name in sites if glob.fullmatch(name)}


def decomposition_sites(sites: dict[str, Site], prefix: str | None = None) -> set[str]:
    """Return the sites by which a linear decomposition is made without running the model.

    The embedding before its norm, what each branch's last projection gives, and the residual
    stream. prefix: of an encoder–decoder "encoder." or "decoder."; None: the decoder.
    """
    if prefix is None:
        prefix = "decoder." if any(name.startswith("decoder.") for name in sites) else ""
    inner = r"(embed(\.norm)?|final|layers\.\d+(\.(attn|cross|mlp)(\.out)?)?)"
    found = {name for name in sites if re.fullmatch(re.escape(prefix) + inner, name)}
    return {name for name in found if f"{name}.out" not in found}


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", r"[^.]*"))
