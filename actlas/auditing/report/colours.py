"""Which models share a colour, and how our own figures look on light and dark pages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Told apart by every kind of colour vision (after Okabe & Ito 2008), and seen on black and white.
PALETTE = (
    "#0a7ac2", "#e08a00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a6fc9", "#a08a1a",
)  # fmt: skip
REST = "#8b949e"
EACH = len(PALETTE)  # models up to which each has its own colour
TAGS = ("family", "architecture", "kind")  # by which models are coloured, the first there is
INK = "currentColor"  # of the page, light or dark
FAINT = {"gridColor": INK, "gridOpacity": 0.12, "domainColor": INK, "tickColor": INK}
TEXT = {"labelColor": INK, "titleColor": INK}
FONT = 'system-ui, "DejaVu Sans", sans-serif'
CONFIG = {
    "background": None,
    "font": FONT,
    "view": {"stroke": INK, "strokeOpacity": 0.25},
    "axis": {**FAINT, **TEXT, "domainOpacity": 0.4, "tickOpacity": 0.4, "titleFontWeight": "normal",
             "labelFontSize": 11, "titleFontSize": 12},
    "legend": {**TEXT, "titleFontWeight": "normal"},
    "title": {"color": INK, "subtitleColor": INK, "fontSize": 13, "anchor": "start"},
    "text": {"color": INK},
}  # fmt: skip


@dataclass(frozen=True)
class Colours:
    """by: what models share a colour by ("" where each has its own); of: colour of each model."""

    by: str
    of: Mapping[str, str]
    legend: Mapping[str, str]


def colours(models: Sequence[str], tagged: Mapping[str, Mapping[str, str]]) -> Colours:
    """Choose colours: few models have one each, many the one of their family.

    Without a tag that tells them apart they are all grey; labels name them.
    """
    if len(models) <= EACH:
        own = dict(zip(models, PALETTE, strict=False))
        return Colours("", own, own)
    tag = _telling(models, tagged)
    if tag is None:
        return Colours("", dict.fromkeys(models, REST), {})
    groups = [tagged.get(model, {}).get(tag, "") for model in models]
    named = [name for name, _ in Counter(filter(None, groups)).most_common(len(PALETTE))]
    legend = dict(zip(named, PALETTE, strict=False))
    rest = [group for group in groups if group not in legend]
    of = {model: legend.get(g, REST) for model, g in zip(models, groups, strict=True)}
    return Colours(tag, of, {**legend, **({"others": REST} if rest else {})})


def _telling(models: Sequence[str], tagged: Mapping[str, Mapping[str, str]]) -> str | None:
    """The tag with 2 values or more, but fewer than models; known ones first."""
    names = {name for model in models for name in tagged.get(model, {})}
    ordered = [*(name for name in TAGS if name in names), *sorted(names - set(TAGS))]
    for name in ordered:
        values = {tagged.get(model, {}).get(name) for model in models} - {None}
        if 2 <= len(values) <= (len(models) if name in TAGS else EACH):
            return name
    return None
