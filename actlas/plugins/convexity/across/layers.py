"""The analysis `convexity_layers`: convexity over the layers, its peak, and where to cut."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from actlas import InputError, Layers, Result, analysis

from . import figures
from .halves import Halves
from .resampling import Floats, pseudo_values, resampled_means
from .segments import Rows, euclidean
from .stored import check_settings, names_of, row_scores

BLOCK_SITE = re.compile(r"(?:encoder\.|decoder\.)?layers\.\d+")  # the output of a block
CURVE = (
    "macro", "low", "high", "sem", "chance", "chance_sd", "adjusted", "micro", "unreachable_share"
)  # fmt: skip
SEGMENTS = {"euclidean": "macro", "euclidean_low": "low", "euclidean_high": "high",
            "euclidean_chance": "chance"}  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """Where convexity is highest, and the cut that this suggests; one row a run."""

    peak: Annotated[str, "site of the highest macro score; of equals the first"]
    macro: Annotated[float, "macro score there"]
    low: Annotated[float | None, "macro − 1.96 · sem there"]
    high: Annotated[float | None, "macro + 1.96 · sem there"]
    peak_share: Annotated[float, "share of draws whose peak is there (see curve)"]
    within: Annotated[str, "sites whose macro is not below the peak's band, in order"]
    suggest_cut: Annotated[str | None, "first site after the peak: prune from here; null: none"]
    earliest_cut: Annotated[str | None, "the cut if the peak is the first site within the band"]
    latest_cut: Annotated[str | None, "the cut if the peak is the last site within the band"]
    kept: Annotated[int, "blocks kept, those up to the peak"]
    dropped: Annotated[int, "blocks after it"]
    sites: Annotated[int, "sites compared"]
    classes: Annotated[int, "classes that have a score"]


@dataclass(frozen=True)
class Curve:
    """Convexity of all classes at one site."""

    place: Annotated[int, "place of the site, from 0"]
    site: Annotated[str, "where in the model"]
    macro: Annotated[float, "mean of the classes' scores"]
    low: Annotated[float | None, "macro − 1.96 · sem, not below 0"]
    high: Annotated[float | None, "macro + 1.96 · sem, not above 1"]
    sem: Annotated[float | None, "mean of the classes' standard errors, as published"]
    chance: Annotated[float, "macro expected if labels were dealt out by chance, exact"]
    chance_sd: Annotated[float | None, "its spread over permuted labels; null: none were"]
    adjusted: Annotated[float | None, "(macro − chance) / (1 − chance)"]
    micro: Annotated[float, "mean over all pairs"]
    unreachable_share: Annotated[float, "share of the pairs that nothing joins"]
    peak_share: Annotated[
        float,
        "share of draws whose peak is here: for new rows, by half-samples; halves=0: for these "
        "graphs only, too sure",
    ]
    within: Annotated[bool, "whether macro is not below the band of the peak"]
    euclidean: Annotated[float | None, "macro of convexity_euclidean here; null: no run of it"]
    euclidean_low: Annotated[float | None, "its band, macro − 1.96 · sem, not below 0"]
    euclidean_high: Annotated[float | None, "macro + 1.96 · sem, not above 1"]
    euclidean_chance: Annotated[float | None, "expected, at most, of labels dealt out by chance"]


@dataclass(frozen=True)
class Class:
    """Convexity of one class at one site."""

    place: Annotated[int, "place of the site, from 0"]
    site: Annotated[str, "where in the model"]
    label: Annotated[str, "name of the label"]
    n: Annotated[int, "rows"]
    graph_convexity: Annotated[float | None, "score; null where the class has one row"]
    sem: Annotated[float | None, "its standard error, of points as published"]
    chance: Annotated[float | None, "score expected by chance, exact"]
    adjusted: Annotated[float | None, "(score − chance) / (1 − chance)"]


@analysis(
    version=2,
    tables={"summary": Summary, "curve": Curve, "classes": Class},
    figures={"curve": figures.curve, "classes": figures.heat_map},
    base="convexity",
    beside="convexity_euclidean",
    allow_nonfinite=True,
)
def convexity_layers(
    layers: Layers,
    *,
    halves: Annotated[int, "half-samples whose graphs are built anew; 0: quick, too sure"] = 0,
    draws: Annotated[int, "draws of the peak"] = 2000,
    seed: Annotated[int, "seed of half-samples and draws"] = 0,
) -> Result:
    """Convexity over the layers, its peak, and the layer after it as a place to cut.

    Reads stored results of `convexity`, and those of `convexity_euclidean` at sites where there
    are any. Convexity-based pruning keeps the blocks up to the peak of the graph's curve
    (Dorszewski et al. 2024). How sure the peak is: the sites whose score is not below the peak's
    band, and how often each is the peak. With halves=0 scores of rows (the same at all sites) are
    drawn again within classes, the graphs as they are, which is too sure; with halves, say 20,
    activations are read, graphs of half of the rows built, and peaks drawn from their spread
    (see `convexity_change`). Of two equally good layers of 4 × 16 rows one had a share above 0.975
    in 8 of 30 trials by rows' scores, in none by half-samples. After fine-tuning a curve may rise
    to the end, where nothing is cut. Check a cut by the accuracy of the pruned model.
    """
    if draws < 100 or halves < 0 or halves == 1 or seed < 0:
        raise InputError(
            "convexity_layers: draws ≥ 100, seed ≥ 0, and halves = 0 or ≥ 2, are needed"
        )
    check_settings("convexity_layers", layers.names, [b.parameters for b in layers.bases])
    _check_rows(layers)
    summaries = [next(iter(base.tables["summary"])) for base in layers.bases]
    macro = np.array([row["macro"] for row in summaries])
    peak = int(macro.argmax())
    floor = summaries[peak]["low"]
    within = macro >= (macro[peak] if np.isnan(floor) else floor)
    chance = np.random.default_rng(seed)
    drawn = _halved(layers, macro, halves, draws, chance) if halves else None
    shares = _peak_shares(_redrawn(layers, macro, draws, chance) if drawn is None else drawn)
    segments, said = euclidean(layers)
    curve = _curve(layers, summaries, shares, within, segments)
    summary = _summary(layers.names, curve, peak, summaries[peak]["classes"])
    return Result(
        {"summary": summary, "curve": curve, "classes": _classes(layers)},
        warnings=[*_remarks(curve, summary, halves), *said],
    )


def _check_rows(layers: Layers) -> None:
    first = layers.bases[0].arrays
    for site, base in zip(layers.names, layers.bases, strict=True):
        if any(not np.array_equal(base.arrays[n], first[n]) for n in ("rows", "codes")):
            raise InputError(
                f"convexity_layers: the rows and classes at {site} are not those at "
                f"{layers.names[0]}; run convexity at all sites alike"
            )


def _peak_shares(drawn: Floats) -> Floats:
    """How often each site is the peak of drawn curves (draws, sites)."""
    peaks = np.bincount(drawn.argmax(axis=1), minlength=drawn.shape[1])
    shares: Floats = peaks / len(drawn)
    return shares


def _halved(
    layers: Layers, macro: Floats, halves: int, draws: int, chance: np.random.Generator
) -> Floats:
    """Draw curves around this one, that spread and hang together as those of half-samples do.

    Student's t over sites at once: half-samples are few.
    """
    first = layers.bases[0]
    half = Halves.drawn("convexity_layers", first, first.arrays["codes"], halves, chance)
    scores = np.stack(
        [half.scores(acts, acts.places(first.arrays["rows"])) for acts in layers], axis=2
    )  # (halves, classes, sites)
    known = np.isfinite(scores).all(axis=(0, 2))
    deviations = scores[:, known].mean(axis=1)
    deviations -= deviations.mean(axis=0)
    free = halves - 1
    weights = chance.standard_normal((draws, halves)) / np.sqrt(chance.chisquare(free, (draws, 1)))
    return np.asarray(macro + weights @ deviations)


def _redrawn(layers: Layers, macro: Floats, draws: int, chance: np.random.Generator) -> Floats:
    """Draw curves (draws, sites) of rows drawn again, the same at every site."""
    first = layers.bases[0]
    scores = np.column_stack([row_scores(base) for base in layers.bases])  # (rows, sites)
    codes = first.arrays["codes"]
    drawn, used = np.zeros((draws, len(layers))), 0
    for code in range(len(names_of(first))):
        mine = scores[codes == code]
        mine = mine[np.isfinite(mine).all(axis=1)]
        if len(mine) > 2:
            drawn += resampled_means(pseudo_values(mine), draws, chance)
            used += 1
    if not used:
        drawn += macro  # classes too small to draw from
    return drawn


def _summary(sites: tuple[str, ...], curve: list[Curve], peak: int, classes: int) -> Summary:
    inside = [row.place for row in curve if row.within]
    after = [sites[i + 1] if i + 1 < len(sites) else None for i in (peak, inside[0], inside[-1])]
    blocks = [bool(BLOCK_SITE.fullmatch(site)) for site in sites]
    top = curve[peak]
    return Summary(
        peak=top.site,
        macro=top.macro,
        low=top.low,
        high=top.high,
        peak_share=top.peak_share,
        within=", ".join(sites[i] for i in inside),
        suggest_cut=after[0],
        earliest_cut=after[1],
        latest_cut=after[2],
        kept=sum(blocks[: peak + 1]),
        dropped=sum(blocks[peak + 1 :]),
        sites=len(sites),
        classes=classes,
    )


def _curve(
    layers: Layers, summaries: Sequence[dict[str, Any]], shares: Floats, within: Any, segments: Rows
) -> list[Curve]:
    found = []
    for place, (site, row) in enumerate(zip(layers.names, summaries, strict=True)):
        columns: dict[str, Any] = {name: row.get(name) for name in CURVE}
        columns |= {name: segments.get(site, {}).get(of) for name, of in SEGMENTS.items()}
        share, inside = float(shares[place]), bool(within[place])
        found.append(Curve(place=place, site=site, peak_share=share, within=inside, **columns))
    return found


def _classes(layers: Layers) -> list[Class]:
    names = ("label", "n", "graph_convexity", "sem", "chance", "adjusted")
    return [
        Class(place, site, **{name: row[name] for name in names})
        for place, (site, base) in enumerate(zip(layers.names, layers.bases, strict=True))
        for row in base.tables["classes"]
    ]


def _remarks(curve: list[Curve], summary: Summary, halves: int) -> list[str]:
    said = []
    if summary.suggest_cut is None:
        said.append(f"convexity is highest at the last site, {summary.peak}: nothing to cut")
    close = [row.site for row in curve if row.within]
    if len(close) > 1:
        said.append(
            f"the peak is not certain: {len(close)} of {len(curve)} sites are within its band, and "
            f"it is the peak in {summary.peak_share:.0%} of the draws"
            + (", for these graphs only: too sure (see --halves)" if not halves else "")
        )
    flat = [row.site for row in curve if row.macro <= row.chance]
    if flat:
        said.append(f"not above chance at {', '.join(flat)}")
    return said
