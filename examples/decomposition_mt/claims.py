"""The claims of the paper, each judged by the tables of the studies."""

from collections.abc import Sequence

import numpy as np

from examples.common import verdicts
from examples.common.verdicts import Estimate, Verdict, Word

from .estimates import Rows, by_series, chosen, median_strength, over_runs, share
from .study import REFERENCE, WRITTEN, Study

COSINE, RATIO = "cosine", "norm_ratio"
BOTH = (COSINE, RATIO)
TERMS = ("input", "cross_attention", "attention", "feed_forward", "correction")
LETTERS = dict(zip(TERMS, "ISTFC", strict=True))
# Signs that all six models of the paper share at their last layer, as quality rises.
SHARED = (
    (RATIO, "attention", 1), (RATIO, "correction", 1), (RATIO, "cross_attention", -1),
    (COSINE, "cross_attention", -1), (COSINE, "feed_forward", -1),
)  # fmt: skip
ALPHA = 0.05
SAME_CURVE = 0.9  # rho above which two curves are called the same
RUNS = "Intervals: Student's t over the training runs."


def judged(found: Sequence[Estimate], above: float) -> Word:
    """Judge a claim that all these numbers lie above a threshold; without numbers nobody can."""
    known = all(np.isfinite(one.value) for one in found)
    return verdicts.judged(found if known else [], above)


def claims(study: Study) -> list[Verdict]:
    """Judge every claim."""
    return [
        _correlate(study),
        _beyond_time(study),
        *(_sign(study, *one) for one in SHARED),
        _ratio_more(study),
        _not_last(study),
        _diverge(study),
        _targets(study),
        _similar(study),
        _sentences(study),
    ]


def controls(study: Study) -> list[Verdict]:
    """Judge what must come out if the method does what it says."""
    return [_exact(study), _learnt(study), _shuffled(study)]


def correlations(study: Study, **wanted: object) -> Rows:
    """Correlations with BLEU over checkpoints, the decoder reading the references."""
    where = {"level": "checkpoint", "data": REFERENCE, "metric": "bleu", "indicator": BOTH,
             "term": TERMS, "site": study.layers}  # fmt: skip
    return chosen(study.study.result.tables["correlation"], **(where | wanted))


def _correlate(study: Study) -> Verdict:
    rows, names = correlations(study), list(study.series)
    hits = by_series(rows, lambda mine: np.mean([r["p"] <= ALPHA for r in mine]).item(), names)
    found = over_runs(hits)
    strength = over_runs(by_series(rows, median_strength, names))
    null = over_runs(
        by_series(
            chosen(
                study.shuffled.result.tables["correlation"], level="checkpoint", metric="bleu",
                indicator=BOTH, term=TERMS, site=study.layers,
            ),
            median_strength, names,
        )
    )  # fmt: skip
    return Verdict(
        "Indicators correlate with translation quality across the checkpoints of a training run.",
        f"share of indicators with p ≤ {ALPHA} {found}; median |ρ| {strength} over cosine and norm "
        f"ratio, five terms, {len(study.layers)} layers (with shuffled BLEU {null})",
        f"{ALPHA} (the paper: median |ρ| .39 for cosine, .58 for norm ratio)",
        judged([found], ALPHA),
        f"Spearman's ρ of differences between checkpoints in the indicator and in BLEU; p by "
        f"permuting BLEU over blocks of checkpoints. {RUNS} What changes steadily in training "
        f"goes with all else that does: see the next claim.",
    )


def _beyond_time(study: Study) -> Verdict:
    rows, names = correlations(study), list(study.series)
    known = [row for row in rows if np.isfinite(row["partial"])]

    def along(mine: Rows) -> float:
        return float(np.mean([np.sign(row["rho"]) * row["partial"] for row in mine]))

    found = over_runs(by_series(known, along, names))
    time = over_runs(by_series(rows, lambda mine: float(mine[0]["step_rho"]), names))
    return Verdict(
        "They do so beyond what the mere progress of training explains.",
        f"mean partial ρ, the number of steps between checkpoints held fixed, in the direction of "
        f"the plain ρ: {found}; ρ of steps with BLEU itself {time}",
        "0 (not in the paper, which has no such control)",
        judged([found], 0.0),
        f"{RUNS} Taken in the direction of the plain ρ, chance alone gives a little above 0.",
    )


def _sign(study: Study, indicator: str, term: str, sign: int) -> Verdict:
    last = study.layers[-1]
    rows = correlations(study, indicator=indicator, term=term, site=last)
    each = {row["series"]: row["rho"] for row in rows}
    found = over_runs(list(each.values()))
    called = f"{indicator.replace('_', ' ')} of {LETTERS[term]} ({term.replace('_', ' ')})"
    signed = Estimate(sign * found.value, *sorted((sign * found.low, sign * found.high)))
    opposite = signed.high < 0
    return Verdict(
        f"As quality rises, the {called} {'rises' if sign > 0 else 'falls'} at the last layer.",
        f"mean raw ρ with BLEU {found}; by training run: "
        + ", ".join(f"{name} {rho:+.2f}" for name, rho in each.items()),
        f"0 (the paper: {'+' if sign > 0 else '−'} in all six models)",
        judged([signed] if each else [], 0.0),
        RUNS + " Here it goes the other way." * opposite,
    )


def _ratio_more(study: Study) -> Verdict:
    last, names = study.layers[-1], list(study.series)
    of = {kind: by_series(correlations(study, indicator=kind, site=last), median_strength, names)
          for kind in BOTH}  # fmt: skip
    lead = over_runs(np.subtract(of[RATIO], of[COSINE]))
    ours, theirs = over_runs(of[RATIO]).value, over_runs(of[COSINE]).value
    everywhere = {
        kind: by_series(correlations(study, indicator=kind), median_strength, names)
        for kind in BOTH
    }
    return Verdict(
        "The norm ratio goes with quality more than the cosine does (last layer).",
        f"median |ρ| over terms: norm ratio {ours:.2f}, cosine {theirs:.2f}, "
        f"lead {lead}; over all layers "
        f"{over_runs(np.subtract(everywhere[RATIO], everywhere[COSINE]))}",
        "0 (the paper: .58 against .39)",
        judged([lead], 0.0),
        RUNS,
    )


def strengths(study: Study) -> dict[tuple[str, str], list[float]]:
    """Median |rho| over terms of each training run, by indicator and layer."""
    names = list(study.series)
    return {
        (kind, site): by_series(
            correlations(study, indicator=kind, site=site), median_strength, names
        )
        for kind in BOTH for site in study.layers
    }  # fmt: skip


def _not_last(study: Study) -> Verdict:
    found, said = [], []
    of = strengths(study)
    for kind in BOTH:
        before = [of[kind, site] for site in study.layers[:-1]]
        found.append(over_runs(np.mean(before, axis=0) - np.array(of[kind, study.layers[-1]])))
        by_layer = " ".join(f"{over_runs(of[kind, site]).value:.2f}" for site in study.layers)
        said.append(
            f"{kind.replace('_', ' ')} by layer {by_layer}, lead of the earlier {found[-1]}"
        )
    return Verdict(
        "The last layer is not the one that goes with quality most.",
        "median |ρ| over terms: " + "; ".join(said),
        "0 (the paper: cosine .57 .62 .67 .62 .63 .39, norm ratio .57 .65 .64 .62 .60 .58)",
        judged(found, 0.0),
        f"Mean of the layers before, less the last. {RUNS} Supported only if both lie above 0.",
    )


def agreements(study: Study) -> dict[int, list[float]]:
    """Agreement on identical tokens by step: of each pair that differs in the seed only.

    Mean over terms, of cosine and norm ratio, at the last layer.
    """
    rows = chosen(
        study.tokens.result.tables["agreement"], within=True, data=REFERENCE, indicator=BOTH,
        term=TERMS, site=study.layers[-1],
    )  # fmt: skip
    cells: dict[tuple[int, str, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["step"], row["series"], row["other"]), []).append(row["rho"])
    found: dict[int, list[float]] = {}
    for (step, _, _), values in sorted(cells.items()):
        found.setdefault(step, []).append(float(np.mean(values)))
    return found


def _diverge(study: Study) -> Verdict:
    found = agreements(study)
    steps = list(found)
    said = ", ".join(f"step {step}: {np.mean(found[step]):.2f}" for step in steps)
    falls = [a - b for a, b in zip(found[steps[0]], found[steps[-1]], strict=True)]
    peak = max(steps, key=lambda step: float(np.mean(found[step])))
    from_peak = [a - b for a, b in zip(found[peak], found[steps[-1]], strict=True)]
    return Verdict(
        "Seeds diverge as training proceeds: their indicators agree less and less on the same "
        "tokens.",
        f"mean Spearman's ρ over tokens, pairs of one condition: {said}; fall from first to last "
        f"{over_runs(falls)}, from the highest (step {peak}) {over_runs(from_peak)}",
        "0 (the paper: about .8 at 2 % of the training, about .4 at its end)",
        judged([over_runs(falls)], 0.0),
        f"Intervals: Student's t over {len(falls)} pairs, which share training runs: read them as "
        f"a guide. Judged by first against last; the fall from a peak chosen afterwards is biased "
        f"up.",
    )


def _targets(study: Study) -> Verdict:
    rows = chosen(
        study.study.result.tables["targets"], indicator=BOTH, term=TERMS, site=study.layers
    )
    names = list(study.series)
    levels = over_runs(by_series(rows, lambda m: float(np.median([r["rho"] for r in m])), names))
    lowest = min((row["rho"] for row in rows), default=np.nan)
    changes = over_runs(
        by_series(rows, lambda m: float(np.nanmedian([r["changes_rho"] for r in m])), names)
    )
    return Verdict(
        f"It hardly matters whether the decoder reads the {REFERENCE} or its {WRITTEN}.",
        f"Spearman's ρ of the two curves, median over indicators, terms and layers {levels} (the "
        f"lowest {lowest:.2f}); of what changes from checkpoint to checkpoint {changes}",
        f"{SAME_CURVE} (the paper: at least .986, changes .968)",
        judged([levels, changes] if rows else [], SAME_CURVE),
        f"{RUNS} Supported only if both lie above {SAME_CURVE}. Early checkpoints write poor "
        f"sentences, so their own output is then little like the references.",
    )


def _similar(study: Study) -> Verdict:
    table = study.study.result.tables["permutation"]
    rows = chosen(table, data=REFERENCE, indicator=BOTH, term=TERMS, site=study.layers)
    nearer = [row for row in rows if row["p"] <= ALPHA]
    farther = [row for row in rows if row["within"] > row["between"]]
    last = [row for row in rows if row["site"] == study.layers[-1]]
    said = "; ".join(
        kind.replace("_", " ") + " "
        + ", ".join(
            f"{LETTERS[r['term']]} " + (f"{r['p']:.3f}" if r["p"] >= 0.001 else "< 0.001")
            for r in last if r["indicator"] == kind
        )
        for kind in BOTH
    )  # fmt: skip
    found = share(len(rows) - len(nearer), len(rows)) if rows else None
    least = max((1 / row["permutations"] for row in rows), default=1.0)
    by_run = min((row["p_series"] for row in rows), default=1.0)
    return Verdict(
        "Training on the same data does not guarantee similar curves.",
        f"not significantly nearer to each other than to runs of the other condition: "
        f"{found} of {len(rows)} curves; {len(farther)} are even farther. At the last layer "
        f"{sum(r['p'] <= ALPHA for r in last)} of {len(last)} are nearer, p: {said}",
        "0.5: more than half of the curves (the paper, last layer: cosine 1 of 5 nearer, norm "
        "ratio 4 of 5)",
        judged([found] if found and least <= ALPHA else [], 0.5),
        "Dynamic time warping of z-scored curves, exact one-sided permutation of the distances "
        f"(p ≤ {ALPHA} is nearer). Interval: Wilson; curves of one model are not independent. "
        f"With these training runs p is {least:.2g} or more, so that nearness "
        f"{'could be' if least <= ALPHA else 'could never be'} found; dealing out whole training "
        f"runs, which keeps distances of one run together, it is never below {by_run:.2g} here.",
    )


def _sentences(study: Study) -> Verdict:
    names, last = list(study.series), study.layers[-1]
    checkpoint = by_series(correlations(study, metric="chrf", site=last), median_strength, names)
    rows = chosen(
        study.tokens.result.tables["correlation"], level="sentence", metric="chrf",
        data=REFERENCE, indicator=BOTH, term=TERMS, site=last,
    )  # fmt: skip
    sentence = by_series(rows, median_strength, names)
    lead = over_runs(np.subtract(checkpoint, sentence))
    return Verdict(
        "What goes strongly with quality per checkpoint goes weakly with it per sentence.",
        f"median |ρ| with chrF at the last layer: checkpoints {over_runs(checkpoint)}, sentences "
        f"{over_runs(sentence)}, lead {lead}",
        "0 (the paper: .6 to .03 – .3)",
        judged([lead], 0.0),
        f"Sentences: triples of checkpoint, sentence and its translation, as many from each "
        f"quarter of chrF. {RUNS}",
    )


def _exact(study: Study) -> Verdict:
    runs = [run for part in study.decomposed.values() for run in part]
    errors = [float(run.result.tables["summary"]["max_relative_error"][0]) for run in runs]
    worst = max(errors)
    return Verdict(
        "The terms sum to the states at every depth.",
        f"greatest relative error of {len(errors)} decompositions {worst:.1e}",
        "1e-5 (float32)",
        "supported" if worst <= 1e-5 else "not supported",
        "If this failed, nothing above could be believed.",
    )


def _learnt(study: Study) -> Verdict:
    curves = study.bleu()
    gains = {name: curve[-1] - curve[0] for name, curve in curves.items()}
    worst = min(gains, key=lambda name: gains[name])
    last = ", ".join(f"{name} {curve[-1]:.1f}" for name, curve in curves.items())
    return Verdict(
        "The models have learnt to translate.",
        f"BLEU at the end: {last}; smallest gain over the first checkpoint "
        f"{gains[worst]:.1f} ({worst})",
        "gain of 5 BLEU in every training run",
        "supported" if gains[worst] >= 5 else "not supported",
        "Quality that does not move could not correlate with anything.",
    )


def _shuffled(study: Study) -> Verdict:
    rows = chosen(
        study.shuffled.result.tables["correlation"], level="checkpoint", metric="bleu",
        indicator=BOTH, term=TERMS, site=study.layers,
    )  # fmt: skip
    hits = by_series(
        rows, lambda mine: float(np.mean([r["p"] <= ALPHA for r in mine])), list(study.series)
    )
    found = over_runs(hits)
    true = correlations(study)
    with_bleu = np.mean([row["p"] <= ALPHA for row in true]) if true else np.nan
    return Verdict(
        "Qualities dealt out by chance among the checkpoints of a run do not correlate.",
        f"share of indicators with p ≤ {ALPHA} {found}",
        f"the interval holds {ALPHA}",
        "supported" if found.low <= ALPHA else "not supported",
        "Indicators of one run move together, so a run has many such hits or none: with "
        f"{len(study.series)} training runs a share of up to {min(found.high, 1):.2f} would go "
        f"unnoticed (with the true BLEU it is {with_bleu:.2f}).",
    )


def table(study: Study) -> Sequence[dict[str, object]]:
    """Mean raw ρ with BLEU over training runs at the last layer, by indicator and term."""
    found = []
    for kind in BOTH:
        for term in TERMS:
            rows = correlations(study, indicator=kind, term=term, site=study.layers[-1])
            rho = [row["rho"] for row in rows]
            paper = {(k, t): s for k, t, s in SHARED}.get((kind, term), 0)
            found.append({
                "indicator": kind.replace("_", " "), "term": term.replace("_", " "),
                "letter": LETTERS[term], "rho": over_runs(rho) if rho else "not defined",
                "positive": sum(r > 0 for r in rho), "runs": len(rho),
                "partial": over_runs([r["partial"] for r in rows]) if rho else "",
                "paper": {1: "↑", -1: "↓", 0: "mixed"}[paper],
            })  # fmt: skip
    return found
