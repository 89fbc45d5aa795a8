"""Sites that a loader names itself, beside those that are found."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .errors import SiteError
from .sites import Layout, Site, place
from .text import nearest
from .tracing import Call

if TYPE_CHECKING:
    from torch import nn

NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
TAKEN = ("residual", "decomposition", "module")  # patterns that stand for something else


def named_sites(
    module: "nn.Module",
    calls: list[Call],
    shape: tuple[int, int],
    names: Mapping[str, str],
    found: Mapping[str, Site],
) -> dict[str, Site]:
    """Return the sites of a traced model that are named, without their stack.

    names: name → path of the submodule whose output at its first call it is.
    found: the sites whose layout those below them take where their modules are silent.

    Raises SiteError for a name that is taken or cannot be asked for, a submodule that is not
    run, and one that yields no matrix.
    """
    made: dict[str, Site] = {}
    for name, path in sorted(names.items(), key=lambda pair: pair[0].count(".")):
        if name in found or name in TAKEN or not NAME.fullmatch(name):
            said = "is found already" if name in found else "is no name of a site"
            raise SiteError(f"{name!r} (submodule {path!r}) {said}; name it like layers.0.logvar")
        above = {**found, **made}.get(name.rpartition(".")[0])
        made[name] = _named(module, calls, shape, name, path, above.layout if above else None)
    return made


def _named(
    module: "nn.Module",
    calls: list[Call],
    shape: tuple[int, int],
    name: str,
    path: str,
    above: Layout | None,
) -> Site:
    call = next((call for call in calls if call.path == path), None)
    if call is None:
        known = dict.fromkeys(call.path for call in calls)
        raise SiteError(
            f"the forward pass runs no submodule {path!r}, which is to be the site {name!r}; "
            f"{nearest(path, known)}"
        )
    seen, sub = call.output, module.get_submodule(path)
    # Where texts set the length, a site may have positions of its own (convolutions over tokens).
    placed = place(seen, sub, shape, above=above)
    placed = placed or place(seen, sub, (shape[0], 0), above=above)
    if seen is None or placed is None:
        given = "no tensor" if seen is None else f"shape {seen.shape}"
        raise SiteError(
            f"the site {name!r} (submodule {path!r}) yields {given}, not ({shape[0]}, …), one "
            f"vector a position or sample; name another submodule"
        )
    layout, frame = placed
    width = seen.shape[1 if layout == "channels_first" else -1]
    return Site(name, path, width, call=call.index, layout=layout, frame=frame)


def merged(
    calls: list[Call], found: Mapping[str, Site], named: Mapping[str, Site]
) -> dict[str, Site]:
    """Return all sites in the order of the forward pass; those found keep theirs."""
    places = {(call.path, call.index): at for at, call in enumerate(calls)}
    order = [(_place(calls, places, site), site) for site in found.values()]
    late = sorted(((_place(calls, places, site), site) for site in named.values()), key=_first)
    for at, site in late:
        before = next((i for i, (other, _) in enumerate(order) if other > at), len(order))
        order.insert(before, (at, site))
    return {site.name: site for _, site in order}


def _first(pair: tuple[float, Site]) -> float:
    return pair[0]


def _place(calls: list[Call], places: Mapping[tuple[str, int], int], site: Site) -> float:
    """When a site is there: at the end of its call, or just before it begins."""
    end = places[site.path, site.call]
    if site.port == "output":
        return end
    begin = end
    while begin and calls[begin - 1].path.startswith(f"{site.path}."):
        begin -= 1
    return begin - 0.5
