"""The analysis `decomposition_study`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from actlas import InputError, Result, Runs, analysis, tell

from . import figures
from .correlating import FEWEST, Drawing, Found, correlate, grouped, spearman
from .curves import L1NORM, Column, Series, series_of, z_scores
from .qualities import EXAMPLE, QualityFile, checkpoints, named, read_file
from .sentences import TokenLevel, sentence_correlations, token_level
from .summing import summaries
from .tables import TABLES, Correlation, Curve, Quality, Targets
from .warping import permuted, warped

COMPARED = ("correlation", "agreement", "warping", "variance", "targets")


@analysis(
    version=2,
    tables=TABLES,
    figures={
        "curves": figures.curves,
        "scatter": figures.scatter,
        "heat_map": figures.heat_map,
        "agreement": figures.agreement,
    },
    base="decomposition",
)
def decomposition_study(
    runs: Runs,
    *,
    qualities: Annotated[str | None, "CSV: model, series, step, qualities", "file"] = None,
    sentences: Annotated[str | None, "CSV: model, sample, qualities of sentences", "file"] = None,
    pairs: Annotated[int, "pairs of checkpoints in a repetition; all if there are fewer"] = 1000,
    repetitions: Annotated[int, "how often pairs are drawn"] = 10,
    draws: Annotated[int, "bootstrap draws for intervals, and permutations for p"] = 1000,
    block: Annotated[
        int | None, "checkpoints drawn together; none: cube root of their number"
    ] = None,
    points: Annotated[int, "steps at which tokens are compared, evenly spread"] = 10,
    triples: Annotated[int, "sentences of checkpoints drawn for a training run"] = 400,
    seed: Annotated[int, "seed of all draws"] = 0,
) -> Result:
    """How indicators of a decomposition go with quality, and vary between training runs.

    Over results of `decomposition` for checkpoints of one training run or several (Mickus & Vázquez
    2023, "Why Bother with Geometry?"). `--qualities` is a CSV that says of each model (its spec,
    the end of its path, or the number of a `run`) the training run (`series`), `step`, perhaps
    `condition` (training runs that differ in the seed only share one) and, for the reader, `seed`,
    and in every further column a quality, such as bleu. `--sentences` does so for single samples,
    numbered from 0.

    Differences between two checkpoints, the later minus the earlier, in an indicator are set
    against those in quality by Spearman's rho; signs are raw (published ones are flipped). What
    merely changes with training goes with quality, too: compare `step_rho`, look at `partial`.
    Values belong to their run: those of two models are on no common scale. Agreement and overlap
    need runs with `--detail tokens`; components of variance and sentences these, or `samples`.
    """
    _check(qualities, pairs, repetitions, draws, block, points, triples, seed)
    file = read_file(qualities or "", "series", "step")
    sentence_file = read_file(sentences, "sample") if sentences else None
    found, left_out = checkpoints(runs, file)
    series, how = series_of(found), Drawing(pairs, repetitions, draws, block, seed)
    made, level = _correlated(series, file.metrics, how), token_level(series, points)
    if sentence_file:
        made.add(_over_sentences(level, sentence_file, runs, how, triples))
    tables = _tables(series, file.metrics, made.rows, level, seed)
    if not any(tables[name] for name in COMPARED):
        raise _nothing(series, made.remarks)
    return Result(tables, warnings=[*left_out, *made.remarks, *_remarks(series, tables, level)])


def _check(
    qualities: str | None, pairs: int, repetitions: int, draws: int, block: int | None,
    points: int, triples: int, seed: int,
) -> None:  # fmt: skip
    if qualities is None:
        raise InputError(
            f"decomposition_study: say what the runs are of, --qualities FILE.csv with the columns "
            f"{EXAMPLE}"
        )
    least = {
        "pairs": (pairs, 10), "repetitions": (repetitions, 1), "draws": (draws, 100),
        "block": (1 if block is None else block, 1), "points": (points, 1),
        "triples": (triples, 20), "seed": (seed, 0),
    }  # fmt: skip
    for name, (value, lowest) in least.items():
        if value < lowest:
            raise InputError(f"decomposition_study: {name}={value}; {lowest} or more is needed")


@dataclass
class _Made:
    rows: list[Correlation]
    remarks: list[str]

    def add(self, other: "_Made") -> None:
        self.rows += other.rows
        self.remarks += other.remarks


def _correlated(series: Sequence[Series], metrics: Sequence[str], how: Drawing) -> _Made:
    """Correlate every training run with every quality over its checkpoints."""
    made = _Made([], [])
    for one in series:
        groups, names = grouped(one.columns)
        for metric in metrics:
            quality = one.quality(metric)
            known = np.isfinite(quality)
            if not known.all():
                lost = [c.run for c, k in zip(one.checkpoints, known, strict=True) if not k]
                made.remarks.append(f"no {metric} for {named(lost)}; left out of its correlation")
            fault = _fault(quality[known])
            if fault:
                made.remarks.append(f"no correlation with {metric} in {one.name}: {fault}")
                continue
            tell(f"{metric} of {one.name}")
            Z = z_scores(one.values[known])
            found = correlate(Z, quality[known], groups, how, steps=one.steps[known])
            place = ("checkpoint", one.name, one.data, metric)
            made.rows += _rows(place, one.columns, names, found, int(known.sum()))
            if np.isnan(found.low).all():
                made.remarks.append(
                    f"no interval for {metric} in {one.name}: {int(known.sum())} checkpoints in "
                    f"blocks of {how.blocks(int(known.sum()))} are too few to draw from"
                )
    made.remarks += _undefined(series)
    return made


def _fault(quality: np.ndarray) -> str | None:
    if len(quality) < FEWEST:
        some = "1 checkpoint" if len(quality) == 1 else f"{len(quality)} checkpoints"
        return f"it is known at {some}; {FEWEST} or more are needed"
    constant = np.isnan(z_scores(quality[:, None])).all()
    return f"it is {quality[0]:g} at all checkpoints" if constant else None


def _over_sentences(
    level: TokenLevel, file: QualityFile, runs: Runs, how: Drawing, triples: int
) -> _Made:
    """Correlate every training run with every quality over its sentences."""
    made = _Made([], [])
    drawn = sentence_correlations(level, file, runs, how, triples)
    for one in drawn:
        place = ("sentence", one.series, one.data, one.metric)
        made.rows += _rows(place, one.columns, one.groups, one.found, one.n)
    if not drawn:
        made.remarks.append(
            f"{file.path}: no training run has sentences whose qualities differ; samples are "
            f"numbered from 0"
        )
    return made


def _tables(
    series: Sequence[Series], metrics: Sequence[str], rows: list[Correlation], level: TokenLevel,
    seed: int,
) -> dict[str, Sequence[object]]:  # fmt: skip
    distances = warped(series)
    return {
        "summary": summaries(rows),
        "correlation": rows,
        "agreement": level.agreement,
        "warping": distances,
        "permutation": permuted(distances, series, seed),
        "variance": level.variance,
        "overlap": level.overlap,
        "targets": list(_targets(series)),
        "curves": list(_curves(series)),
        "qualities": list(_qualities(series, metrics)),
    }


def _nothing(series: Sequence[Series], remarks: Sequence[str]) -> InputError:
    count, runs = sum(len(one.checkpoints) for one in series), len({s.name for s in series})
    return InputError(
        f"decomposition_study: nothing to compare in {count} checkpoint{'s' * (count != 1)} of "
        f"{runs} training run{'s' * (runs != 1)} ({'; '.join(remarks)}); give {FEWEST} "
        f"checkpoints of one, or runs of two that kept their tokens"
    )


def _undefined(series: Sequence[Series]) -> Iterator[str]:
    """Name what is constant or not defined at all checkpoints, such as a cosine at the input."""
    found: dict[tuple[int, str], dict[str, None]] = {}  # training runs, each once
    for one in series:
        unusable = (~np.isfinite(z_scores(one.values))).any(axis=0)
        bad = [one.columns[k] for k in np.flatnonzero(unusable)]
        if bad and len(one.checkpoints) >= FEWEST:
            sites = ", ".join(dict.fromkeys(c.site for c in bad))
            found.setdefault((len(bad), sites), {})[one.name] = None
    for (count, sites), names in found.items():
        yield (
            f"{count} of {len(series[0].columns)} indicators are constant or not defined at some "
            f"checkpoint of {', '.join(names)}, so not correlated nor warped; they are at {sites}"
        )


def _rows(
    place: tuple[str, str, str, str],
    columns: Sequence[Column],
    groups: Sequence[tuple[str, str]],
    found: Found,
    n: int,
) -> Iterator[Correlation]:
    every = [*columns, *(Column(site, indicator, L1NORM) for site, indicator in groups)]
    for k, column in enumerate(every):
        if np.isfinite(found.rho[k]):
            low, high = float(found.low[k]), float(found.high[k])
            yield Correlation(
                *place, *column, float(found.rho[k]), float(found.sd[k]), low, high,
                float(found.p[k]), found.step,
                float(found.partial[k]), n, found.pairs,
            )  # fmt: skip


def _targets(series: Sequence[Series]) -> Iterator[Targets]:
    """Compare the curves of a training run over two data sets, at the steps that both have."""
    for i, one in enumerate(series):
        for two in series[i + 1 :]:
            shared = np.intersect1d(one.steps, two.steps)
            if two.name != one.name or len(shared) < FEWEST:
                continue
            X, Y = (s.values[np.isin(s.steps, shared)] for s in (one, two))
            usable = np.isfinite(z_scores(X) + z_scores(Y)).all(axis=0)
            for k in np.flatnonzero(usable):
                rho = float(spearman(X[:, k : k + 1], Y[:, k])[0])
                changes = float(spearman(np.diff(X[:, k : k + 1], axis=0), np.diff(Y[:, k]))[0])
                yield Targets(
                    one.name, one.data, two.data, *one.columns[k], rho, changes, len(shared)
                )  # fmt: skip


def _curves(series: Sequence[Series]) -> Iterator[Curve]:
    for one in series:
        Z = z_scores(one.values)
        for i, point in enumerate(one.checkpoints):
            for k, column in enumerate(one.columns):
                yield Curve(
                    one.name, one.condition, one.data, point.step, point.run.id, point.run.model,
                    *column, float(one.values[i, k]), float(Z[i, k]),
                )  # fmt: skip


def _qualities(series: Sequence[Series], metrics: Sequence[str]) -> Iterator[Quality]:
    for one in series:
        for point in one.checkpoints:
            for metric in metrics:
                if np.isfinite(point.values[metric]):
                    yield Quality(one.name, point.step, one.data, metric, point.values[metric])


def _remarks(
    series: Sequence[Series], tables: dict[str, Sequence[object]], level: TokenLevel
) -> list[str]:
    said = []
    names = {s.name for s in series}
    if not level.means:
        said.append(
            "no run kept its tokens or samples: no agreement, overlap, components of variance, nor "
            "sentences; run decomposition with --detail tokens"
        )
    elif level.without:
        said.append(f"{level.without} of the runs looked at kept other indicators, or none")
    if len(names) > 1 and level.means and not tables["agreement"]:
        said.append(
            "no two training runs kept the same tokens at the same step: no agreement, no overlap"
        )
    if tables["warping"] and not tables["permutation"]:
        said.append(
            "distances are all of the same condition, or all of different ones: nothing to "
            "permute; say in the column condition which training runs differ in the seed only"
        )
    return said
