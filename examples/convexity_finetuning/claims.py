"""The claims of the paper, each judged by the tables of the runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.common.verdicts import Estimate, Verdict, Word, judged

from .estimates import above_chance, adjusted_change, changed, correlation, exact, mean, ranks
from .study import SHUFFLED, STAGES, TRUE, Trial

UNTRAINED, PRETRAINED, TUNED = STAGES
SATURATED = 0.99  # recall above which classes cannot be told apart by it
ALPHA = 0.05


def claims(trials: Sequence[Trial]) -> list[Verdict]:
    """Judge every claim."""
    return [
        *(_raised(trial) for trial in trials),
        _predicts(trials),
        _above(trials),
        *(_deeper(trials, stage) for stage in (PRETRAINED, TUNED)),
    ]


def controls(trials: Sequence[Trial]) -> list[Verdict]:
    """Judge what must come out if the method does what it says."""
    return [_shuffled(trials), _learnt(trials), _head(trials)]


def _raised(trial: Trial) -> Verdict:
    plain = {site: changed(run.result) for site, run in trial.change.items()}
    adjusted = [
        adjusted_change(
            run.result, trial.result(PRETRAINED, site), trial.result(TUNED, site)
        )
        for site, run in trial.change.items()
    ]  # fmt: skip
    last = trial.blocks[-1]
    found = [plain[last], mean(list(plain.values())), adjusted[-1]]
    row = next(iter(trial.change[last].result.tables["summary"]))
    return Verdict(
        f"Fine-tuning raises the convexity of class regions: {trial.task.title.lower()}.",
        f"change of the macro score at {last} {found[0]} ({row['before']:.2f} to "
        f"{row['after']:.2f}), mean over layers {found[1]}, adjusted for chance at {last} "
        f"{found[2]}; {row['rising_share']:.0%} of the classes rise there; by layer: "
        + ", ".join(f"{site} {one.value:+.2f}" for site, one in plain.items()),
        "0",
        judged(found, 0.0),
        f"Held-out samples, the same for both networks; recall of the fine-tuned one "
        f"{trial.recall.mean():.2f}. Intervals: paired bootstrap over classes and rows. Supported "
        f"only if all three lie above 0.",
    )


def pooled(trials: Sequence[Trial]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """Pretrained convexity and fine-tuned recall of every class, and its task.

    Convexity is the mean over the layers of the pretrained network.
    """
    x = [np.mean([_by_class(t, site) for site in t.blocks], axis=0) for t in trials]
    groups = [i for i, t in enumerate(trials) for _ in t.recall]
    return np.concatenate(x), np.concatenate([t.recall for t in trials]), groups


def _by_class(trial: Trial, site: str) -> NDArray[np.float64]:
    table = trial.result(PRETRAINED, site).tables["classes"]
    score = dict(zip(table["label"], table["graph_convexity"], strict=True))
    return np.array([score[name] for name in trial.task.classes], float)


def _predicts(trials: Sequence[Trial]) -> Verdict:
    x, y, groups = pooled(trials)
    each = []
    for i, trial in enumerate(trials):
        mine = np.array(groups) == i
        found = correlation(x[mine], y[mine])
        each.append(f"{trial.task.name} {found or 'not defined'} ({mine.sum()} classes, recall "
                    f"{y[mine].min():.2f} to {y[mine].max():.2f})")  # fmt: skip
    within = correlation(ranks(x, groups), ranks(y, groups))
    together = correlation(x, y)
    saturated = (y >= SATURATED).mean()
    word: Word = "not testable here"
    if saturated <= 0.5 and together is not None and within is not None:
        word = judged([together, within], 0.0)
    return Verdict(
        "Pretrained convexity of a class predicts its recall after fine-tuning.",
        f"Pearson's r over all {len(y)} classes {together}, of ranks within tasks {within}; "
        f"{'; '.join(each)}",
        "0 (the paper: about 0.2 over all modalities)",
        word,
        f"Convexity: mean over the layers of the pretrained network. Recall: by the fine-tuned "
        f"network's own head, held-out samples. Intervals: Fisher's z. Pooled over tasks r also "
        f"holds differences between tasks; ranks within tasks do not: supported only if both lie "
        f"above 0. Recall is {SATURATED:.2f} or more in {saturated:.0%} of the classes: if that "
        f"were most, nothing could be told.",
    )


def _above(trials: Sequence[Trial]) -> Verdict:
    found = {
        f"{t.task.name}, {stage}, {site}": above_chance(t.result(stage, site))
        for t in trials for stage in (PRETRAINED, TUNED) for site in t.sites
    }  # fmt: skip
    least = min(found, key=lambda name: found[name].low)
    failed = [name for name, one in found.items() if one.low <= 0]
    left_out = [f"{t.task.name} {', '.join(sorted(t.degenerate))}" for t in trials if t.degenerate]
    skipped = f" Left out, as all rows are equal there: {'; '.join(left_out)}." * bool(left_out)
    return Verdict(
        "Class regions are convex above chance in every network, pretrained or fine-tuned, at "
        "every depth.",
        f"macro score minus chance, the smallest of {len(found)} sites: {found[least]} ({least})",
        "0; chance is exact for each graph",
        judged(list(found.values()), 0.0),
        f"Intervals: ± 1.96 SEM with n the rows, as published.{skipped}"
        + f" Intervals not above 0: {'; '.join(failed)}." * bool(failed),
    )


def _deeper(trials: Sequence[Trial], stage: str) -> Verdict:
    found = [changed(t.depth[stage].result) for t in trials]
    said = []
    for trial, one in zip(trials, found, strict=True):
        (row,) = trial.layers[stage].result.tables["summary"]
        said.append(f"{trial.task.name} {one}, highest at {row['peak']}")
    failed = [t.task.name for t, one in zip(trials, found, strict=True) if one.low <= 0]
    return Verdict(
        f"Convexity rises with depth in the {stage} networks.",
        f"last layer minus first: {'; '.join(said)}",
        "0",
        judged(found, 0.0),
        "Intervals: paired bootstrap over classes and rows."
        + f" Not clearly in {', '.join(failed)}." * bool(failed),
    )


def _shuffled(trials: Sequence[Trial]) -> Verdict:
    p = [
        _p_of_chance(trial, stage, site)
        for trial in trials for stage in (PRETRAINED, TUNED) for site in trial.sites
    ]  # fmt: skip
    level = ALPHA / len(p)
    return Verdict(
        "Labels dealt out by chance are at chance.",
        f"smallest p of {len(p)} sites: {min(p):.4f}",
        f"p ≥ {level:.4f} ({ALPHA} over all sites)",
        "supported" if min(p) >= level else "not supported",
        "Classes' scores minus their chance, t-test. If this failed, nothing above could be "
        "believed.",
    )


def _p_of_chance(trial: Trial, stage: str, site: str) -> float:
    """Two-sided p that scores of shuffled labels are at chance."""
    from scipy import stats

    table = trial.result(stage, site, SHUFFLED).tables["classes"]
    apart = np.asarray(table["graph_convexity"], float) - np.asarray(table["chance"], float)
    return float(stats.ttest_1samp(apart, 0.0).pvalue)


def _learnt(trials: Sequence[Trial]) -> Verdict:
    found = [changed(t.start.result) for t in trials if t.start]
    said = [
        f"{t.task.name} {_macro(t, UNTRAINED):.2f}, {_macro(t, PRETRAINED):.2f}, "
        f"{_macro(t, TUNED):.2f} (chance {_chance(t):.2f}; pretrained − random {one})"
        for t, one in zip(trials, found, strict=True)
    ]
    failed = [t.task.name for t, one in zip(trials, found, strict=True) if one.low <= 0]
    return Verdict(
        "Convexity is learnt: a pretrained network has more of it than the same with random "
        "weights.",
        f"macro score at the last layer, random, pretrained, fine-tuned: {'; '.join(said)}",
        "0",
        judged(found, 0.0),
        "A random network keeps much of its input's geometry, so it is above chance as well."
        + f" Not clearly in {', '.join(failed)}." * bool(failed),
    )


def _macro(trial: Trial, stage: str) -> float:
    return float(trial.result(stage, trial.blocks[-1]).tables["summary"]["macro"][0])


def _chance(trial: Trial) -> float:
    return float(trial.result(PRETRAINED, trial.blocks[-1], TRUE).tables["summary"]["chance"][0])


def _head(trials: Sequence[Trial]) -> Verdict:
    recalls = [(t.task.name, float(t.recall.mean()), 1 / len(t.recall)) for t in trials]
    least: list[Estimate] = [exact(value - 3 * chance) for _, value, chance in recalls]
    return Verdict(
        "Fine-tuning has taught the task.",
        "mean recall on held-out samples: "
        + "; ".join(f"{name} {value:.2f} (guessing {c:.2f})" for name, value, c in recalls),
        "three times guessing",
        judged(least, 0.0),
        "A network that has learnt nothing could not show what learning does.",
    )
