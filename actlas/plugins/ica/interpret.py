"""The analysis `ica_interpret`: how far axes can be read, and how they hang together."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Result, analysis

from . import interpret_figures as figures
from .few_axes import Curve, curve, directions
from .fit import token_weights
from .hoc import clusters, moments, spanning_tree
from .interpret_tables import Axis, FewAxes, Node, Summary
from .intrusion import Intrusion, intrusion
from .items import Items, fitted_rows, lengths, raw_axes, stable_axes
from .project import Axes, Basis
from .tour import consecutive, tour

WHITE: tuple[Basis, ...] = ("ica", "pca", "random")
QUERIES, PAIRS = 100, 2000  # rows whose neighbours are looked for, and pairs that are ranked
RANDOM_ORDERS = 20


@analysis(
    version=1,
    base="ica",
    tables={"summary": Summary, "axes": Axis, "few_axes": FewAxes, "tree": Node},
    arrays={"hoc": "(k, k) higher-order correlation E[s_i² s_j²] of the ICA axes"},
    figures={
        "intrusion": figures.intrusion,
        "few_axes": figures.few_axes,
        "tree": figures.tree,
        "tour": figures.tour,
    },
)
def ica_interpret(
    acts: Activations,
    base: Result,
    *,
    top: Annotated[int, "top items of an axis that an intruder is put among"] = 5,
    intruders: Annotated[int, "intruders drawn for each axis"] = 10,
    tree_axes: Annotated[int, "axes in the tree, those of highest DistRatio"] = 150,
    n_clusters: Annotated[int, "clusters of the axes in the tree, at most"] = 10,
    tour_items: Annotated[int, "top items whose mean stands for an axis in the tour"] = 100,
    neighbours: Annotated[int, "nearest rows that few axes are to find"] = 10,
    sample: Annotated[int, "rows, one an item, that few axes are compared on"] = 2000,
    seed: Annotated[int, "seed of intruders, samples and random axes"] = 0,
) -> Result:
    """Item intrusion, few axes against the cosine, the tree of axes and the tour through them.

    Axes of ICA beside principal, random and the site's own ones. DistRatio: mean distance of an
    intruder to the top items of an axis over the distance between these, in the stored rows; the
    intruder is drawn from the axis's lower half and the first tenth of some axis (Yamagiwa, Oyama
    & Shimodaira 2023, section 4.1). Items are ranked by s / |s|, and in the columns that end in
    _unnormalised by s. Rows of one token are one item: its highest occurrence stands for it.
    few_axes: similarity by the p largest entries of the product of two rows of length 1. tree:
    maximum spanning tree of the higher-order correlation (Oyama, Yamagiwa & Shimodaira 2024).
    tour: an order in which neighbouring axes are alike (Yamagiwa, Takase & Shimodaira 2024).
    """
    _check(top, intruders, tree_axes, n_clusters, tour_items, neighbours, sample, seed)
    rows = fitted_rows(acts, base)
    acts = acts if len(rows) == len(acts) else acts.take(rows)
    tokens = acts.rows.token
    items = Items.of(tokens)
    if len(items) < 2 * top:
        raise InputError(
            f"ica_interpret: top={top} needs {2 * top} different items; there are {len(items)}"
        )
    measured = _intrusions(acts, base, items, top, intruders, tour_items, seed)
    ours = measured["ica"][0]
    found = moments(acts, Axes.of(base), _weights(acts, base), ours.top[:, :tour_items])
    U = directions(found.means)
    alike = U @ U.T
    order = tour(alike)
    tree = _tree(found.hoc, ours.ratio, tree_axes, n_clusters, seed)
    tree["token"] = [tokens[ours.top[a, 0]] for a in tree["axis"]]
    tree["stable"] = [stable_axes(base)[a] for a in tree["axis"]]
    tables = {
        "summary": _summary(measured, alike, order, base, seed),
        "axes": _axes(measured, acts) | _places(measured, alike, order, base),
        "few_axes": _few_table(_few_axes(acts, base, items, neighbours, sample, seed)),
        "tree": tree,
    }
    return Result(tables, {"hoc": found.hoc}, _remarks(acts, items, measured))


Pair = tuple[Intrusion, Intrusion]  # by normalised rows, by rows as they are


def _check(
    top: int, intruders: int, tree_axes: int, n_clusters: int, tour_items: int, neighbours: int,
    sample: int, seed: int,
) -> None:  # fmt: skip
    if top < 2 or min(intruders, tree_axes, n_clusters, tour_items, neighbours) < 1:
        raise InputError(
            "ica_interpret: top ≥ 2 and intruders, tree_axes, n_clusters, tour_items, "
            "neighbours ≥ 1 are needed"
        )
    if sample < 3:
        raise InputError(f"ica_interpret: sample={sample} rows; use 3 or more")
    if not 0 <= seed < 2**32:
        raise InputError(f"ica_interpret: seed={seed} must lie between 0 and 2³² − 1")


def _intrusions(
    acts: Activations,
    base: Result,
    items: Items,
    top: int,
    intruders: int,
    tour_items: int,
    seed: int,
) -> dict[str, Pair]:
    """Measure every basis; `ica` has turned its axes, the others are turned here."""
    bases = {basis: Axes.of(base, basis, seed) for basis in WHITE} | {"raw": raw_axes(acts, base)}
    white = lengths(acts, bases["ica"])  # the same in every white basis
    kept = min(tour_items, len(items))
    return {
        basis: intrusion(
            acts, axes, items, lengths(acts, axes) if basis == "raw" else white, top=top,
            intruders=intruders, seed=seed, turn=basis != "ica", kept=kept if basis == "ica" else 0,
        )
        for basis, axes in bases.items()
    }  # fmt: skip


def _weights(acts: Activations, base: Result) -> NDArray[np.float64]:
    """Return what the rows counted in the fit: under these the axes have variance 1."""
    if base.parameters.get("weighting") == "token":
        return token_weights(acts)
    return np.ones(len(acts))


def _few_axes(
    acts: Activations, base: Result, items: Items, neighbours: int, sample: int, seed: int
) -> dict[str, Curve]:
    rng = np.random.default_rng(seed)
    n = min(sample, len(items))
    chosen = rng.permutation(len(items))[:n]
    sizes = np.diff(np.append(items.starts, len(items.order)))[chosen]
    rows = items.order[items.starts[chosen] + (rng.random(n) * sizes).astype(np.int64)]
    X = acts[rows]
    pairs = rng.integers(0, n, (2, PAIRS))
    pairs = pairs[:, pairs[0] != pairs[1]]
    units = {basis: directions(Axes.of(base, basis, seed).exact(X)) for basis in WHITE}
    cosines = units["ica"][:QUERIES] @ units["ica"].T  # the same in every white basis
    most = min(neighbours, n - 1)
    return {basis: curve(U, cosines, pairs, most) for basis, U in units.items()}


def _tree(
    hoc: NDArray[np.float64], ratio: NDArray[np.float64], most: int, n_clusters: int, seed: int
) -> dict[str, Any]:
    """The tree of the axes of highest DistRatio."""
    best = np.argsort(-np.nan_to_num(ratio, nan=-np.inf), kind="stable")[:most]
    best.sort()
    among = hoc[np.ix_(best, best)]
    parents = spanning_tree(among)
    return {
        "axis": best,
        "parent": [None if p < 0 else int(best[p]) for p in parents],
        "hoc": [None if p < 0 else among[i, p] for i, p in enumerate(parents)],
        "cluster": clusters(among, n_clusters, seed),
        "dist_ratio": ratio[best],
    }


def _summary(
    measured: dict[str, Pair],
    alike: NDArray[np.float64],
    order: NDArray[np.int64],
    base: Result,
    seed: int,
) -> list[Summary]:
    by_skewness = np.argsort(-np.asarray(base.tables["axes"]["skewness"], float), kind="stable")
    rng = np.random.default_rng(seed)
    chance = [rng.permutation(len(order)) for _ in range(RANDOM_ORDERS)]
    links: dict[str, float | None] = dict.fromkeys(
        ("tour_cosine", "skewness_cosine", "random_cosine")
    )
    if len(order) > 1:
        links = {
            "tour_cosine": float(consecutive(alike, order).mean()),
            "skewness_cosine": float(consecutive(alike, by_skewness).mean()),
            "random_cosine": float(np.mean([consecutive(alike, o).mean() for o in chance])),
        }
    none: dict[str, float | None] = dict.fromkeys(links)
    return [
        Summary(
            basis, len(pair[0].ratio), **_spread(pair[0], ""), **_spread(pair[1], "_unnormalised"),
            **(links if basis == "ica" else none),
        )
        for basis, pair in measured.items()
    ]  # fmt: skip


def _spread(found: Intrusion, ending: str) -> dict[str, float | None]:
    known = found.ratio[np.isfinite(found.ratio)]
    names = [name + ending for name in ("dist_ratio", "median", "low", "high")]
    if not len(known):
        return dict.fromkeys(names)
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    return dict(zip(names, map(float, (known.mean(), median, low, high)), strict=True))


def _axes(measured: dict[str, Pair], acts: Activations) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "basis": [basis for basis, pair in measured.items() for _ in pair[0].ratio],
        "axis": [axis for pair in measured.values() for axis in range(len(pair[0].ratio))],
    }
    for i, ending in enumerate(("", "_unnormalised")):
        found = [pair[i] for pair in measured.values()]
        columns["dist_ratio" + ending] = np.concatenate([f.ratio for f in found])
        columns["intra" + ending] = np.concatenate([f.intra for f in found])
        columns["inter" + ending] = np.concatenate([f.inter for f in found])
    first = np.concatenate([pair[0].top[:, 0] for pair in measured.values()])
    tokens = acts.rows.token
    return columns | {"row": acts.numbers(first), "token": [tokens[place] for place in first]}


def _places(
    measured: dict[str, Pair],
    alike: NDArray[np.float64],
    order: NDArray[np.int64],
    base: Result,
) -> dict[str, list[Any]]:
    """What only the axes of ICA have, which come first."""
    k = len(order)
    others: list[Any] = [None] * (sum(len(pair[0].ratio) for pair in measured.values()) - k)
    tour_cosine = np.full(k, np.nan)
    tour_cosine[order[:-1]] = consecutive(alike, order)
    return {
        "stable": stable_axes(base) + others,
        "tour": np.argsort(order).tolist() + others,
        "tour_cosine": tour_cosine.tolist() + others,
    }


def _few_table(curves: dict[str, Curve]) -> dict[str, Any]:
    return {
        "basis": [basis for basis, found in curves.items() for _ in found.p],
        "p": np.concatenate([found.p for found in curves.values()]),
        "overlap": np.concatenate([found.overlap for found in curves.values()]),
        "rank_correlation": np.concatenate([found.correlation for found in curves.values()]),
        "energy_share": np.concatenate([found.energy for found in curves.values()]),
    }


def _remarks(acts: Activations, items: Items, measured: dict[str, Pair]) -> list[str]:
    said = []
    if len(items) < len(acts):
        said.append(
            f"{len(acts):,} rows are occurrences of {len(items):,} tokens; of a token its highest "
            f"occurrence is a top item"
        )
    lacking = {
        basis: int(np.isnan([pair[0].ratio, pair[1].ratio]).any(axis=0).sum())
        for basis, pair in measured.items()
    }
    if any(lacking.values()):
        named = ", ".join(f"{n} of {basis}" for basis, n in lacking.items() if n)
        said.append(
            f"axes without a DistRatio ({named}): no row can be an intruder, or the top items are "
            f"the same in every number"
        )
    return said
