"""Charts as parts of a page: SVG, or PNG where there are many marks; drawn without a network."""

import base64
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from html import escape
from typing import Any, cast

LARGEST_SVG = 250_000  # characters


def can_draw() -> bool:
    """Whether the extra `plots` is installed."""
    from importlib.util import find_spec

    return find_spec("altair") is not None and find_spec("vl_convert") is not None


def unchecked() -> AbstractContextManager[Any]:
    """Within, altair does not look through every part of a chart, which takes most of its time."""
    from altair.utils.schemapi import debug_mode

    return cast(AbstractContextManager[Any], debug_mode(False))


def svg(chart: Any, title: str, config: Mapping[str, Any] | None = None) -> str:
    """Draw a chart as SVG; title: what it is called to those who do not see it.

    config: Vega-Lite's, for all of it (default: marks without a name of their own each).
    """
    import vl_convert

    given = chart.to_dict(validate=False)
    drawn = str(vl_convert.vegalite_to_svg(given, config=dict(config or {"aria": False})))
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def picture(chart: Any, title: str, largest: int = LARGEST_SVG) -> str:
    """Draw a chart as SVG, or as PNG where it has so many marks that SVG would swell the page."""
    import vl_convert

    drawn = svg(chart, title)
    if len(drawn) <= largest:
        return drawn
    png = vl_convert.vegalite_to_png(chart.to_dict(validate=False), scale=2)
    width = int.from_bytes(png[16:20], "big") // 2  # as the header says, at two pixels a point
    data = base64.b64encode(packed(png)).decode()
    return f'<img alt="{escape(title)}" width="{width}" src="data:image/png;base64,{data}">'


def packed(png: bytes) -> bytes:
    """Compress a PNG again, which vl-convert does in haste: a third of the size is left."""
    kept, pixels, place = [], b"", 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        name, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        if name == b"IDAT":
            pixels += data
        else:
            kept.append(name + data)
        place += size + 12
    kept.insert(-1, b"IDAT" + zlib.compress(zlib.decompress(pixels), 9))
    chunks = [
        (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
        for part in kept
    ]
    return png[:8] + b"".join(chunks)
