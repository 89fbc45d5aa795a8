"""The figure `gram`: cosines of features in the order of their blocks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import ResultTable

NAMED = 30  # features up to which each is named


def gram(tables: Mapping[str, ResultTable]) -> Any:
    """Cosines of features, by block; within a block those that point alike are neighbours."""
    import altair as alt

    names = [str(name) for name in tables["summary"]["source"]]
    table, panels = tables["gram"], []
    for source in dict.fromkeys((names[0], names[-1])):
        mine = table["source"] == source
        if not mine.any():
            continue
        features = int(tables["summary"]["nonzero"][names.index(source)])
        panels.append(_panel(source, {k: table[k][mine] for k in table.columns}, features))
    if not panels:
        said = "no blocks were looked for: there are more features than block_limit"
        nothing = alt.Chart(alt.InlineData(values=[{"said": said}]))
        return nothing.mark_text(size=13).encode(text="said:N").properties(width=460, height=40)
    return alt.concat(*panels, columns=2).properties(title="Cosines of features, by block")


def _panel(source: str, cells: dict[str, NDArray[Any]], features: int) -> Any:
    import altair as alt

    count = int(cells["row"].max()) + 1
    place = cells["row"] * count + cells["column"]
    flat = np.empty(count**2)
    flat[place] = cells["cosine"]
    first = cells["column"] == 0
    name, block = np.empty(count, object), np.empty(count, int)
    name[cells["row"][first]], block[cells["row"][first]] = (
        cells["name"][first],
        cells["block"][first],
    )
    cosine = flat.reshape(count, count)
    order = _order(np.abs(cosine), block)
    cosine, name, block = cosine[order][:, order], name[order], block[order]
    cuts = (np.flatnonzero(np.diff(block)) + 1).tolist()
    said = f"{count} of {features:,} features" if count < features else f"{count} features"
    blocks = len(set(block.tolist()))
    said += f" in {blocks} block{'s' * (blocks > 1)}{', lines between' if cuts else ''}"
    title = alt.Title(_cut(source), subtitle=said)
    return _heatmap(cosine, [str(n) for n in name], block, cuts).properties(title=title)


def _cut(source: str) -> str:
    return source if len(source) <= 44 else f"{source[:20]}…{source[-22:]}"


def _order(likeness: NDArray[np.float64], block: NDArray[np.int64]) -> NDArray[np.int64]:
    """Blocks as they come; in each the order in which a tree of likeness has its leaves."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    found = []
    for number in dict.fromkeys(block.tolist()):
        mine = np.flatnonzero(block == number)
        if len(mine) > 2:
            apart = 1 - likeness[np.ix_(mine, mine)].clip(0, 1)
            np.fill_diagonal(apart, 0)
            tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
            mine = mine[leaves_list(tree)]
        found.append(mine)
    return np.concatenate(found)


def _heatmap(
    cosine: NDArray[np.float64], names: list[str], block: NDArray[np.int64], cuts: list[int]
) -> Any:
    """Names on the axes where they are few and differ; cuts are drawn before these places."""
    import altair as alt

    count = len(names)
    named = count <= NAMED and len(set(names)) == count
    keys = names if named else list(range(count))
    rows = [
        {"row": keys[i], "column": keys[j], "name": names[i], "other": names[j],
         "block": int(block[i]), "cosine": round(float(cosine[i, j]), 4)}
        for i in range(count) for j in range(count)
    ]  # fmt: skip
    axis = {"labels": named, "ticks": False, "labelLimit": 90}
    size = max(160, 12 * count) if named else 300
    kind = "N" if named else "O"
    sort = names if named else None
    heat = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect()
        .encode(
            alt.X(f"column:{kind}", sort=sort, title=None).axis(labelAngle=-90, **axis),
            alt.Y(f"row:{kind}", sort=sort, title=None).axis(**axis),
            alt.Color("cosine:Q", title="cosine").scale(
                scheme="redblue", domain=[-1, 1], reverse=True
            ),
            tooltip=["name:N", "other:N", "block:Q", "cosine:Q"],
        )
    )
    lines = alt.Chart(alt.InlineData(values=[{"at": cut * size / count} for cut in cuts]))
    rule = lines.mark_rule(strokeWidth=0.6)
    across = rule.encode(alt.Y("at:Q").scale(None).axis(None))
    down = rule.encode(alt.X("at:Q").scale(None).axis(None))
    layers = alt.layer(heat, across, down).resolve_scale(x="independent", y="independent")
    return (layers if cuts else heat).properties(width=size, height=size)
