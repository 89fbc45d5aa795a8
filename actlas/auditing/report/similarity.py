"""How alike models are: of every analysis that compares pairs of sites, by model and by site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...api.pictures import svg
from ...registry import Analysis
from ...storage import sql_name
from .colours import CONFIG
from .metrics import Setting
from .queries import Found, literal
from .scope import Scope

PAIRS = 6  # pairs of models whose sites are shown: the most alike and the least
WRITTEN = 12  # models up to which each cell has its number
SCHEME = "viridis"  # even to the eye, and to every kind of colour vision

QUIET = CONFIG | {"aria": False}

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """One measure over the models of a data set. left: pairs whose sites are not drawn."""

    setting: Setting
    dataset: str
    column: str
    doc: str
    chart: str
    models: Found
    pairs: list[str]
    sites: Found
    left: int


def similarities(scope: Scope, found: Sequence[Setting]) -> list[Similarity]:
    """Read all measures whose tables are `sites` and `pairs` of several extractions."""
    return [
        one
        for setting in found
        if (analysis := scope.analysis(setting.analysis)) and compares(analysis)
        for one in _measured(scope, setting, analysis)
    ]


def compares(analysis: Analysis) -> bool:
    """Whether it has the tables of an analysis of pairs of sites."""
    names = {t: [c.name for c in spec.columns] for t, spec in analysis.tables.items()}
    return names.get("pairs", [])[:2] == ["a", "b"] and {"site", "extraction"} <= set(
        names.get("sites", ())
    )


def _measured(scope: Scope, setting: Setting, analysis: Analysis) -> list[Similarity]:
    column = next(c for c in analysis.tables["pairs"].columns if c.kind == "float")
    found = scope.ask(
        f"{setting.name}_models",
        f"""{_pairs(setting, column.name)}
SELECT dataset, model_a, model_b, AVG(value) AS value, COUNT(*) AS sites
FROM (
  SELECT dataset, model_a, model_b, MAX(value) AS value
  FROM pair GROUP BY dataset, model_a, model_b, site_a
  UNION ALL
  SELECT dataset, model_a, model_b, MAX(value) AS value
  FROM pair GROUP BY dataset, model_a, model_b, site_b
) AS best
GROUP BY dataset, model_a, model_b
ORDER BY dataset, model_a, model_b""",
    )
    return [
        _of(scope, setting, (column.name, column.doc), name, mine)
        for i, name in enumerate(scope.datasets)
        if len(mine := _only(found, name, i))
    ]


def _only(found: Found, dataset: str, i: int) -> Found:
    """Those of a data set, as the query asks with one condition more."""
    at = found.columns.index("dataset")
    rows = tuple(row for row in found.rows if row[at] == dataset)
    condition = f"WHERE dataset = {literal(dataset)}\nGROUP BY dataset, model_a, model_b\nORDER"
    sql = found.sql.replace("GROUP BY dataset, model_a, model_b\nORDER", condition)
    return Found(f"{found.name}_{i + 1}", sql, found.columns, rows)


def _pairs(setting: Setting, column: str) -> str:
    """Begin a query: pair has the pairs of sites of different models.

    Sites of other extractions are called EXTRACTION:SITE. Materialized, as a database that
    chooses otherwise looks through all sites for every pair.
    """
    pairs, sites = (sql_name(setting.analysis, name) for name in ("pairs", "sites"))
    where = setting.where.replace("\n", "\n  ")
    return f"""WITH own AS MATERIALIZED (
  SELECT a.run_id, a.dataset, a.model, s.site, s.place
  FROM audit_run a JOIN "{sites}" s ON s.run_id = a.run_id AND s.extraction = ''
  WHERE {where}
), other AS MATERIALIZED (
  SELECT a.run_id, e.model, s.site, SUBSTR(s.site, LENGTH(s.extraction) + 2) AS name, s.place
  FROM audit_run a JOIN "{sites}" s ON s.run_id = a.run_id AND s.extraction <> ''
  JOIN (
    SELECT DISTINCT audit_id, model, CAST(extraction_id AS TEXT) AS extraction
    FROM audit_jobs WHERE kind = 'extract'
  ) AS e ON e.audit_id = a.audit_id AND e.extraction = s.extraction
  WHERE {where}
), pair AS MATERIALIZED (
  SELECT own.dataset, own.model AS model_a, other.model AS model_b, own.site AS site_a,
    other.name AS site_b, p."{column}" AS value, own.place AS place_a, other.place AS place_b
  FROM "{pairs}" p
  JOIN own ON own.run_id = p.run_id AND own.site = p.a
  JOIN other ON other.run_id = p.run_id AND other.site = p.b
  WHERE p."{column}" IS NOT NULL
)"""


def _of(
    scope: Scope, setting: Setting, column: tuple[str, str], dataset: str, found: Found
) -> Similarity:
    names, values = matrix(found, scope.models)
    order = ordered(values)
    ranked = _by_value(names, values)
    chosen = extremes(ranked)
    sites = _sites(scope, setting, column[0], dataset, chosen, found.name)
    return Similarity(
        setting, dataset, *column,
        _heat([names[i] for i in order], values[np.ix_(order, order)], column[0], dataset),
        found,
        [_site_heat(sites, pair, column[0]) for pair in chosen],
        sites,
        len(ranked) - len(chosen),
    )  # fmt: skip


def matrix(found: Found, models: Sequence[str]) -> tuple[list[str], Matrix]:
    """Return names of models in order and values (models, models), symmetric; NaN where none is."""
    there = {row[name] for row in found for name in ("model_a", "model_b")}
    names = [name for name in models if name in there]
    place = {name: i for i, name in enumerate(names)}
    sums, counts = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for row in found:
        i, j = place[row["model_a"]], place[row["model_b"]]
        for at in {(i, j), (j, i)}:
            sums[at] += row["value"]
            counts[at] += 1
    values = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    np.fill_diagonal(values, 1.0)
    return names, values


def ordered(values: Matrix) -> list[int]:
    """Put like models beside each other: leaves of average linkage, as the optimal order has them.

    In their own order where a pair is missing, or there are fewer than three.
    """
    if len(values) < 3 or np.isnan(values).any():
        return list(range(len(values)))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = squareform(np.maximum(0.0, 1.0 - values), checks=False)
    return [int(i) for i in leaves_list(linkage(distance, "average", optimal_ordering=True))]


def _by_value(names: Sequence[str], values: Matrix) -> list[tuple[str, str]]:
    """Pairs of models that were compared, the most alike first."""
    pairs = [
        (-values[i, j], i, j)
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if not np.isnan(values[i, j])
    ]
    return [(names[i], names[j]) for _, i, j in sorted(pairs)]


def extremes(ranked: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs that are drawn: all of few, else the most alike and the least."""
    if len(ranked) <= PAIRS:
        return list(ranked)
    return [*ranked[: PAIRS // 2], *ranked[-(PAIRS // 2) :]]


def _sites(
    scope: Scope, setting: Setting, column: str, dataset: str, chosen: Sequence[tuple[str, str]],
    name: str,
) -> Found:  # fmt: skip
    """Site by site, of the pairs that are drawn."""
    either = "\n    OR ".join(
        f"(model_a = {literal(one)} AND model_b = {literal(other)})"
        for pair in chosen
        for one, other in (pair, pair[::-1])
    )
    return scope.ask(
        f"{name}_sites",
        f"""{_pairs(setting, column)}
SELECT model_a, model_b, site_a, site_b, value, place_a, place_b
FROM pair
WHERE dataset = {literal(dataset)}
  AND ({either})
ORDER BY model_a, model_b, place_a, place_b""",
    )


def _heat(names: Sequence[str], values: Matrix, column: str, dataset: str) -> str:
    import altair as alt

    cells: list[dict[str, Any]] = [
        {"a": a, "b": b, "value": float(values[i, j]), "text": f"{values[i, j]:.2f}"}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if not np.isnan(values[i, j])
    ]
    size = max(18, min(44, 460 // max(1, len(names))))
    side = size * len(names)
    title = alt.Title(dataset, subtitle=f"{column.replace('_', ' ')} of the best matching sites")
    chart = _cells(cells, names, names, column, side, side)
    if len(names) <= WRITTEN:
        middle = (min(c["value"] for c in cells) + 1.0) / 2
        written = alt.Chart(alt.InlineData(values=cells)).mark_text(fontSize=10).encode(
            alt.X("a:N", sort=None), alt.Y("b:N", sort=None), alt.Text("text:N"),
            color=alt.condition(f"datum.value > {middle}", alt.value("#111"), alt.value("#fff")),
        )  # fmt: skip
        chart = alt.layer(chart, written)
    chart = chart.properties(title=title, width=side, height=side)
    return svg(chart, f"{column} of models, {dataset}", QUIET)


def _cells(
    cells: Sequence[Mapping[str, Any]], across: Sequence[str], down: Sequence[str], column: str,
    width: int, height: int, titles: tuple[str | None, str | None] = (None, None),
) -> Any:  # fmt: skip
    """A heat map; colours run from the lowest value to 1, or to the highest above."""
    import altair as alt

    found = [cell["value"] for cell in cells]
    limits = [min(0.0, *found) if min(found) < 0.3 else min(found), max(1.0, *found)]
    axis = {"ticks": False, "labelLimit": 150, "titleFontSize": 10}
    places = {"paddingInner": 0, "paddingOuter": 0}
    return (
        alt.Chart(alt.InlineData(values=list(cells)))
        .mark_rect()
        .encode(
            alt.X("a:N", sort=None, title=titles[0])
            .axis(labelAngle=-60, **axis)
            .scale(domain=list(across), **places),
            alt.Y("b:N", sort=None, title=titles[1])
            .axis(**axis)
            .scale(domain=list(down), **places),
            alt.Color("value:Q", title=column.replace("_", " ")).scale(
                scheme=SCHEME, domain=limits
            ),
        )
    )


def _site_heat(found: Found, pair: tuple[str, str], column: str) -> str:
    """Sites of one model across, of the other upwards, in the order of their depth."""
    one, other = pair
    cells: list[dict[str, Any]] = []
    for row in found:
        if {row["model_a"], row["model_b"]} == {one, other}:
            turned = row["model_a"] != one
            mine, theirs = ("b", "a") if turned else ("a", "b")
            cells.append(
                {"a": row[f"site_{mine}"], "b": row[f"site_{theirs}"], "value": row["value"],
                 "x": row[f"place_{mine}"], "y": row[f"place_{theirs}"]}
            )  # fmt: skip
    across = list(dict.fromkeys(c["a"] for c in sorted(cells, key=lambda c: c["x"])))
    up = list(dict.fromkeys(c["b"] for c in sorted(cells, key=lambda c: -c["y"])))
    size = 18
    chart = _cells(
        cells, across, up, column, size * max(5, len(across)), size * max(5, len(up)), (one, other)
    )
    return svg(chart, f"{column} of sites, {one} and {other}", QUIET)
