"""Figures of the decomposition by tokens, drawn from its tables."""

import itertools
from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

from ..figures import known, text_of

TERMS = ("target", "source", "correction")
COLORS = ("#4c78a8", "#e45756", "#9d9da1")
TITLES = {"relative_dot": "relative dot product", "norm_ratio": "norm ratio", "cosine": "cosine"}
SHOWN_ROWS = 8


def shares(tables: Mapping[str, ResultTable]) -> Any:
    """Relative dot product, norm ratio and cosine of every term by depth."""
    import altair as alt

    rows = [
        row | {"place": str(row["site"]).rpartition(".")[2]}
        for row in tables["indicators"]
        if row["indicator"] in TITLES and row["mean"] is not None and row["mean"] == row["mean"]
    ]
    order = [place for _, place in sorted({(row["depth"], row["place"]) for row in rows})]
    used = [term for term in TERMS if any(row["term"] == term for row in rows)]
    scale = alt.Scale(domain=used, range=[COLORS[TERMS.index(term)] for term in used])
    panels = [
        alt.Chart(alt.InlineData(values=[row for row in rows if row["indicator"] == name]))
        .mark_line(point=alt.OverlayMarkDef(size=20))
        .encode(
            alt.X("place:N", sort=order, title="layer").axis(labelAngle=0),
            alt.Y("mean:Q", title=title),
            alt.Color("term:N", sort=used, scale=scale),
            tooltip=["site:N", "term:N", "mean:Q", "sd:Q", "n:Q"],
        )
        .properties(width=max(200, 30 * len(order)), height=200)
        for name, title in TITLES.items()
    ]
    title = alt.Title("Terms by layer", subtitle="all tokens together; mean over rows")
    return alt.hconcat(*panels).properties(title=title)


def strip(tables: Mapping[str, ResultTable]) -> Any:
    """What every token gave to the first rows, under the sentence: relative dot product."""
    import altair as alt

    found = [row for row in map(known, tables["sources"]) if row["source"] is not None]
    if not found:
        return alt.Chart(title="no single tokens; run with --by tokens").mark_text()
    start = min(row["row"] for row in found)
    sentence = [row for row in found if row["row"] >= start]
    firsts = sorted({row["source"] for row in sentence})
    stop = next((b for a, b in itertools.pairwise(firsts) if _parted(found, a, b)), None)
    sentence = [row for row in sentence if stop is None or row["source"] < stop]
    texts = {row["source"]: row["text"] for row in sentence}
    label = {at: f"{i + 1} {text_of(texts[at])}" for i, at in enumerate(sorted(texts))}
    rows = [
        {
            "to": label.get(row["row"], f"{row['row'] - start + 1}"),
            "from": label[row["source"]],
            "relative_dot": row["relative_dot"],
            "norm_ratio": row["norm_ratio"],
        }
        for row in sentence
    ]
    order = [label[at] for at in sorted(label)]
    limit = max(abs(row["relative_dot"]) for row in rows if row["relative_dot"] is not None)
    scale = alt.Scale(scheme="blueorange", domain=[-limit, limit], domainMid=0)
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect()
        .encode(
            alt.X("from:N", sort=order, title="token that gives").axis(labelAngle=-45),
            alt.Y("to:N", sort=order, title="token whose state it is"),
            alt.Color("relative_dot:Q", title=["relative", "dot product"], scale=scale),
            tooltip=["from:N", "to:N", "relative_dot:Q", "norm_ratio:Q"],
        )
        .properties(
            width=alt.Step(26), height=alt.Step(20), title="Each token's part in each state"
        )
    )


def _parted(found: list[dict[str, Any]], before: int, after: int) -> bool:
    """Whether two sources are of different samples: no row gets of both."""
    gets = [{row["row"] for row in found if row["source"] == at} for at in (before, after)]
    return not gets[0] & gets[1]


def contributions(tables: Mapping[str, ResultTable]) -> Any:
    """What every token gave to the logit of each row that is explained, under the sentence."""
    import altair as alt

    every = list(tables["explained"])[:SHOWN_ROWS]
    shown = {
        row["row"]: f"{text_of(row['text'])} → {text_of(row['token'])}  ({row['row']})"
        for row in every
    }
    rows = [known(row) for row in tables["logits"] if row["row"] in shown]
    names = {(row["term"], row["source"], row["text"]): "" for row in rows}
    places = {"target": 0, "source": 1, "correction": 2}
    order = []
    for i, key in enumerate(sorted(names, key=lambda k: (places[k[0]], k[1] or 0))):
        term, _, text = key
        names[key] = f"{i + 1} {text_of(text) or term}" + (" (source)" if term == "source" else "")
        order.append(names[key])
    drawn = [
        {
            "of": shown[row["row"]],
            "from": names[row["term"], row["source"], row["text"]],
            "contribution": row["contribution"],
            "importance": row["importance"],
        }
        for row in rows
    ]
    limit = max((abs(row["contribution"]) for row in drawn), default=1.0)
    scale = alt.Scale(scheme="blueorange", domain=[-limit, limit], domainMid=0)
    return (
        alt.Chart(alt.InlineData(values=drawn))
        .mark_rect()
        .encode(
            alt.X("from:N", sort=order, title="token that gives").axis(labelAngle=-45),
            alt.Y("of:N", sort=list(shown.values()), title="token → token whose logit it is (row)"),
            alt.Color("contribution:Q", title=["contribution", "(logits)"], scale=scale),
            tooltip=["of:N", "from:N", "contribution:Q", "importance:Q"],
        )
        .properties(width=alt.Step(26), height=alt.Step(22), title="Each token's part in a logit")
    )


TOKENS = {"shares": shares, "strip": strip}
LOGITS = {"contributions": contributions}
