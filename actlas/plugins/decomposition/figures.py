"""Figures of the decomposition, drawn from its tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from actlas import ResultTable

COLOURS = {
    "input": "#4c78a8", "word": "#2f5580", "position": "#4c9fd8", "type": "#a6cbea",
    "attention": "#f58518", "cross_attention": "#e45756", "feed_forward": "#54a24b",
    "blocks": "#b279a2", "correction": "#9d9da1",
}  # fmt: skip
TERMS = tuple(COLOURS)
BRANCHES = ("attention", "cross_attention", "feed_forward", "blocks")
TITLES = {
    "relative_dot": "relative dot product",
    "cosine": "cosine",
    "norm_ratio": "norm ratio",
    "distance": "distance",
}
SHOWN_LOGITS = 12
SHOWN_POSITIONS = 40


def _colour(rows: list[dict[str, Any]], **more: Any) -> Any:
    import altair as alt

    used = [term for term in TERMS if any(row["term"] == term for row in rows)]
    scale = alt.Scale(domain=used, range=[COLOURS[term] for term in used])
    return alt.Color("term:N", sort=used, title="term", scale=scale, **more)


def _named(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"place": _place(row)} for row in rows]


def _blocks(layers: Iterable[int]) -> list[str]:
    """What layers are called as sites are, in order: embed, 0, 1, …; see `_block`."""
    return [_block(layer) for layer in sorted(set(layers))]


def _block(layer: int) -> str:
    return str(layer - 1) if layer else "embed"


def _place(row: Mapping[str, Any]) -> str:
    """What a depth is called on an axis: embed, 0, 1, …, final."""
    return str(row["site"]).rpartition(".")[2]


def _order(rows: list[dict[str, Any]]) -> list[str]:
    depths = {row["depth"]: row["place"] for row in rows}
    return [depths[depth] for depth in sorted(depths)]


def share(tables: Mapping[str, ResultTable]) -> Any:
    """Mean relative dot product of every term by depth, stacked: they sum to one."""
    import altair as alt

    rows = _named([row for row in tables["indicators"] if row["indicator"] == "relative_dot"])
    rows = [row | {"order": TERMS.index(row["term"])} for row in rows]
    order = _order(rows)
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("place:N", sort=order, title="layer").axis(labelAngle=0),
            alt.Y("mean:Q", title="share of the state (relative dot product)"),
            _colour(rows),
            alt.Order("order:Q"),
            tooltip=["site:N", "term:N", alt.Tooltip("mean:Q", format=".3f"), "sd:Q"],
        )
    )
    one = alt.Chart(alt.InlineData(values=[{"y": 1}])).mark_rule(strokeDash=[3, 3]).encode(y="y:Q")
    width = max(220, 36 * len(order))
    return alt.layer(bars, one).properties(width=width, height=260, title="Terms by layer")


def curves(tables: Mapping[str, ResultTable]) -> Any:
    """The four indicators of every term by depth, mean and one standard deviation."""
    import altair as alt

    rows = _named(list(tables["indicators"]))
    panels = [_curve(rows, name, title) for name, title in TITLES.items()]
    grid = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))
    said = "mean over rows; band: one standard deviation"
    return grid.properties(title=alt.Title("Indicators by layer", subtitle=said))


def _curve(every: list[dict[str, Any]], name: str, title: str) -> Any:
    import altair as alt

    rows = [row for row in every if row["indicator"] == name and row["mean"] == row["mean"]]
    for row in rows:
        sd = row["sd"] if row["sd"] == row["sd"] else 0.0
        row["low"], row["high"] = row["mean"] - sd, row["mean"] + sd
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("place:N", sort=_order(rows), title="layer").axis(labelAngle=0),
        _colour(rows, legend=alt.Legend(symbolOpacity=1)),
    )
    band = base.mark_area(opacity=0.12).encode(alt.Y("low:Q", title=title), alt.Y2("high:Q"))
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(
        alt.Y("mean:Q", title=title), tooltip=["site:N", "term:N", "mean:Q", "sd:Q", "n:Q"]
    )
    return alt.layer(band, line).properties(width=330, height=200)


def branches(tables: Mapping[str, ResultTable]) -> Any:
    """What every block gave to every term of the deepest state."""
    import altair as alt

    rows = [known(row) | {"block": _block(row["layer"])} for row in tables["branches"]]
    if not rows:
        return alt.Chart(title="no layers; run with --by branches").mark_text()
    order = _blocks(row["layer"] for row in rows)
    if rows[0]["site"].endswith("final"):
        order, rows = _with_final(order, rows)
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("block:N", sort=order, title="layer").axis(labelAngle=0),
            alt.Y("relative_dot:Q", title="share of the state (relative dot product)"),
            _colour(rows),
            tooltip=["block:N", "term:N", "relative_dot:Q", "norm_ratio:Q", "cosine:Q"],
        )
    )
    title = f"What each layer gave to {rows[0]['site']}"
    return bars.properties(width=max(240, 36 * len(order)), height=260, title=title)


def _with_final(
    order: list[str], rows: list[dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Call what lies beyond the last block after the final norm, where it gave anything."""
    blocks = max(row["layer"] for row in rows if row["term"] in BRANCHES)
    top = _block(blocks + 1)
    named = [row | {"block": "final"} if row["block"] == top else row for row in rows]
    return ["final" if name == top else name for name in order], named


def heads(tables: Mapping[str, ResultTable]) -> Any:
    """Relative dot product of every head with the deepest state, layer by head."""
    import altair as alt

    rows = [row | {"block": row["layer"] - 1} for row in tables["heads"]]
    if not rows:
        return alt.Chart(title="no heads; run with --by heads").mark_text()
    limit = max(abs(row["relative_dot"]) for row in rows)
    kinds = list(dict.fromkeys(row["term"] for row in rows))
    panels = [_map([row for row in rows if row["term"] == kind], kind, limit) for kind in kinds]
    title = f"What each head gave to {rows[0]['site']}"
    return alt.hconcat(*panels).properties(title=title)


def _map(rows: list[dict[str, Any]], kind: str, limit: float) -> Any:
    import altair as alt

    layers = len({row["layer"] for row in rows})
    count = len({row["head"] for row in rows})
    scale = alt.Scale(scheme="blueorange", domain=[-limit, limit], domainMid=0)
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect()
        .encode(
            alt.X("head:O").axis(labelAngle=0),
            alt.Y("block:O", sort="descending", title="layer"),
            alt.Color("relative_dot:Q", title=["relative", "dot product"], scale=scale),
            tooltip=["block:O", "head:O", "relative_dot:Q", "norm_ratio:Q", "cosine:Q"],
        )
        .properties(width=max(160, 26 * count), height=max(100, 26 * layers), title=kind)
    )


def logits(tables: Mapping[str, ResultTable]) -> Any:
    """What each term gave to the logits of the first rows that were explained."""
    import altair as alt

    asked = list(tables["explained"])[:SHOWN_LOGITS]
    names = {row["row"]: f"{text_of(row['text'])} → {text_of(row['token'])}" for row in asked}
    sums: dict[tuple[int, str], float] = {}
    for row in tables["logits"]:
        if row["row"] in names:
            key = row["row"], row["term"]
            sums[key] = sums.get(key, 0.0) + row["contribution"]
    rows = [
        {"row": row, "name": f"{names[row]}  ({row})", "term": term, "given": given}
        for (row, term), given in sums.items()
    ]
    ends = [{"name": f"{names[r['row']]}  ({r['row']})", "logit": r["logit"]} for r in asked]
    y = alt.Y("name:N", sort=[end["name"] for end in ends], title="token → target (row)")
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            y.axis(labelLimit=260),
            alt.X("given:Q", title="given to the logit; tick: the logit"),
            _colour(rows),
            tooltip=["name:N", "term:N", alt.Tooltip("given:Q", format=".3f")],
        )
    )
    ticks = alt.Chart(alt.InlineData(values=ends)).mark_tick(thickness=2, color="black")
    drawn = ticks.encode(y, alt.X("logit:Q"))
    return alt.layer(bars, drawn).properties(
        width=420, height=alt.Step(20), title="Direct logit attribution"
    )


def text_of(token: str | None) -> str:
    """A token as it can be drawn: control characters, which no SVG may hold, as escapes."""
    bare = "" if token is None else token.strip() or repr(token)
    return bare if bare.isprintable() else repr(bare)[1:-1]


def known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without NaN, which JSON does not know; what is undefined is None."""
    return {name: None if value != value else value for name, value in row.items()}


def logit_layers(tables: Mapping[str, ResultTable]) -> Any:
    """What each block gave to the logits, mean over the rows."""
    import altair as alt

    sums: dict[tuple[int, str], float] = {}
    for row in tables["logits"]:
        if row["layer"] is not None:
            key = int(row["layer"]), row["term"]
            sums[key] = sums.get(key, 0.0) + row["contribution"]
    if not sums:
        return alt.Chart(title="no layers; run with --by layer").mark_text()
    count = len(tables["explained"])
    rows: list[dict[str, Any]] = [
        {"layer": layer, "block": _block(layer), "term": term, "given": given / count}
        for (layer, term), given in sums.items()
    ]
    order, rows = _with_final(_blocks(layer for layer, _ in sums), rows)
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("block:N", sort=order, title="layer (final: norm and head)").axis(labelAngle=0),
            alt.Y("given:Q", title="mean contribution to the logit"),
            _colour(rows),
            tooltip=["block:N", "term:N", alt.Tooltip("given:Q", format=".3f")],
        )
        .properties(
            width=max(240, 36 * len(order)), height=260,
            title=f"Given to the logit by layer, {count:,} rows",
        )
    )  # fmt: skip


def sources(tables: Mapping[str, ResultTable]) -> Any:
    """What every position gave to every other, mean over the blocks."""
    import altair as alt

    sums: dict[tuple[str, int, int], list[float]] = {}
    names: dict[tuple[str, str, int], str] = {}
    for row in tables["sources"]:
        if row["query"] >= SHOWN_POSITIONS or row["source"] >= SHOWN_POSITIONS:
            continue
        sums.setdefault((row["term"], row["query"], row["source"]), []).append(row["norm_ratio"])
        for end in ("query", "source"):
            token = row[f"{end}_token"]
            names[row["term"], end, row[end]] = f"{row[end]} {text_of(token)}".strip()
    kinds = dict.fromkeys(term for term, _, _ in sums)
    panels = []
    for kind in kinds:
        rows = [
            {"query": names[k, "query", q], "source": names[k, "source", s],
             "ratio": sum(some) / len(some)}
            for (k, q, s), some in sums.items()
            if k == kind
        ]  # fmt: skip
        ends = {
            end: [names[key] for key in sorted(names) if key[:2] == (kind, end)]
            for end in ("query", "source")
        }
        chart = alt.Chart(alt.InlineData(values=rows)).mark_rect().encode(
            alt.X("source:N", sort=ends["source"], title="position that is read"),
            alt.Y("query:N", sort=ends["query"], title="position that reads"),
            alt.Color("ratio:Q", title="norm ratio").scale(scheme="blues"),
            tooltip=["query:N", "source:N", alt.Tooltip("ratio:Q", format=".3f")],
        )  # fmt: skip
        size = {end: max(120, 18 * len(ends[end])) for end in ends}
        panels.append(chart.properties(width=size["source"], height=size["query"], title=kind))
    said = "norm ratio to what the branch gives, mean over blocks"
    return alt.hconcat(*panels).properties(title=alt.Title("Attention by source", subtitle=said))


DECOMPOSITION = {"share": share, "curves": curves, "branches": branches, "heads": heads}
LOGITS = {"logits": logits, "layers": logit_layers}
SOURCES = {"sources": sources}
