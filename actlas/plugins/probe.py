"""A linear probe: how well labels can be read off a site by logistic regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from actlas import (
    Activations,
    InputError,
    LabelError,
    Labels,
    Result,
    ResultTable,
    analysis,
    permute_groups,
)

Z95 = 1.959963984540054  # standard normal quantile of a two-sided 95 % interval


@dataclass(frozen=True)
class Summary:
    """How well the labels can be read; one row a run."""

    rows: Annotated[int, "labelled rows used"]
    classes: Annotated[int, "labels told apart"]
    train: Annotated[int, "rows trained on"]
    test: Annotated[int, "rows tested on, from groups not trained on"]
    balanced_accuracy: Annotated[float, "mean recall over classes on the test rows"]
    low: Annotated[float, "lower end of its 95 % Wilson interval"]
    high: Annotated[float, "upper end of its 95 % Wilson interval"]
    accuracy: Annotated[float, "share of test rows predicted right"]
    train_balanced_accuracy: Annotated[float, "mean recall over classes on the training rows"]
    majority: Annotated[float, "balanced accuracy of always naming the commonest class"]
    majority_accuracy: Annotated[float, "accuracy of always naming the commonest training class"]
    permuted: Annotated[
        float | None, "mean balanced accuracy with labels permuted between groups before training"
    ]
    permuted_high: Annotated[float | None, "highest of them"]
    iterations: Annotated[int, "iterations of the optimiser"]
    converged: Annotated[bool, "whether it met its tolerance within max_iter"]


@dataclass(frozen=True)
class Class:
    """How well one label can be read."""

    label: Annotated[str, "name of the label"]
    train: Annotated[int, "rows trained on"]
    test: Annotated[int, "rows tested on"]
    recall: Annotated[float, "share of its test rows predicted as it"]
    low: Annotated[float, "lower end of its 95 % Wilson interval over groups"]
    high: Annotated[float, "upper end of its 95 % Wilson interval over groups"]
    precision: Annotated[float | None, "share of rows predicted as it that are"]
    confused_with: Annotated[str | None, "label most often predicted instead"]


@dataclass(frozen=True)
class _Fit:
    coef: NDArray[np.float64]  # (classes, width), in standardised units
    intercept: NDArray[np.float64]  # (classes,)
    iterations: int
    converged: bool

    def predict(self, Z: NDArray[Any]) -> NDArray[np.int64]:
        chosen: NDArray[np.int64] = (Z @ self.coef.T + self.intercept).argmax(axis=1)
        return chosen


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share among n independent trials (1927)."""
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _recalls(tables: Mapping[str, ResultTable]) -> Any:
    """Recall of each class with its interval."""
    import altair as alt

    rows = sorted(tables["classes"], key=lambda row: -row["recall"])
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("label:N", sort=[row["label"] for row in rows], title=None)
    )
    recall = alt.X("recall:Q", title="recall on test rows (95 % Wilson interval)")
    dots = base.mark_point(filled=True).encode(
        recall.scale(domain=[0, 1]), tooltip=["label:N", "recall:Q", "test:Q", "confused_with:N"]
    )
    bars = base.mark_rule().encode(alt.X("low:Q", title=""), alt.X2("high:Q"))
    return (bars + dots).properties(width=360, title="Recall by class")


@analysis(
    version=2,
    tables={"summary": Summary, "classes": Class},
    arrays={
        "coef": "(classes, width) weight of each dimension in activation units, class by class",
        "intercept": "(classes,) intercept in activation units",
    },
    figures={"recall": _recalls},
    headline="balanced_accuracy",
)
def probe(
    acts: Activations,
    labels: Labels,
    *,
    test_share: Annotated[float, "share of the rows kept for testing, in whole groups"] = 0.25,
    c: Annotated[float, "inverse strength of the L2 penalty, on standardised dimensions"] = 0.1,
    max_iter: Annotated[int, "most iterations of the optimiser"] = 500,
    permutations: Annotated[int, "probes trained on permuted labels; 0 for none"] = 2,
    seed: Annotated[int, "seed of the split and the permutations"] = 0,
) -> Result:
    """Multinomial logistic regression on labels, tested on groups it has not seen.

    Rows without a label are left out. Dimensions are standardised by the training rows. Rows
    of one group (a sentence, a word) are on one side of the split, and classes are spread
    evenly over it. The interval of balanced accuracy is Wilson's with the effective number
    of trials K² / Σ 1/n_c, n_c the test groups of class c (n, if classes are of equal size).
    Baselines: the commonest class, and the same probe trained on labels permuted between
    groups (Hewitt & Liang 2019: what a probe reaches without anything to read).
    """
    _check_settings(test_share, c, max_iter, permutations, seed)
    acts, labels, warnings = _usable(acts, labels)
    X = acts.numpy()
    train, test = _split(labels, test_share, seed)
    mean, scale = _standard(X[train])
    Z = (X - mean) / scale
    fit = _train(Z[train], labels.codes[train], len(labels.names), c, max_iter)
    null = _permuted(Z, labels, train, test, c, max_iter, permutations, seed)
    if not fit.converged:
        warnings.append(f"the probe did not converge in {max_iter} iterations; raise max_iter")
    predicted = fit.predict(Z[test])
    classes = _classes(labels, train, test, predicted)
    summary = _summary(labels, train, test, predicted, fit.predict(Z[train]), fit, null, classes)
    coef = fit.coef / scale
    arrays = {"coef": coef, "intercept": fit.intercept - coef @ mean}
    return Result({"summary": summary, "classes": classes}, arrays, warnings)


def _check_settings(
    test_share: float, c: float, max_iter: int, permutations: int, seed: int
) -> None:
    if not 0 < test_share < 1:
        raise InputError(f"probe: test_share={test_share} must lie between 0 and 1")
    if not 0 <= seed < 2**32:
        raise InputError(f"probe: seed={seed} must lie between 0 and 2³² - 1")
    if c <= 0 or max_iter < 1 or permutations < 0:
        raise InputError("probe: c > 0, max_iter ≥ 1 and permutations ≥ 0 are needed")


def _usable(acts: Activations, labels: Labels) -> tuple[Activations, Labels, list[str]]:
    """Keep labelled rows of classes that have at least two groups, one for each side."""
    groups = [len(np.unique(labels.groups[labels.codes == k])) for k in range(len(labels.names))]
    rare = [name for name, n in zip(labels.names, groups, strict=True) if n < 2]
    enough = np.array([n >= 2 for n in groups] + [False])  # the last is for "no label": code -1
    keep = enough[labels.codes]
    kept = labels.take(keep)
    if len(kept.names) < 2:
        raise LabelError(
            f"probe needs two classes with at least two groups each; {labels.name!r} has "
            f"{len(kept.names)} of {len(labels.names)}"
        )
    shown = ", ".join(rare[:5]) + (", …" if len(rare) > 5 else "")
    warnings = [f"left out as they occur in a single group: {shown}"] if rare else []
    return acts.take(keep), kept, warnings


def _split(
    labels: Labels, test_share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    swapped = test_share > 0.5  # then the larger side is the test
    wanted = max(2, round(1 / min(test_share, 1 - test_share)))
    groups = [len(np.unique(labels.groups[labels.codes == k])) for k in range(len(labels.names))]
    everything = np.arange(len(labels.names))
    # A class of few groups is on both sides of some splits only; fewer folds where of none.
    for folds in range(min(wanted, max(groups)), 1, -1):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes smaller than the folds
            splits = list(splitter.split(labels.codes, labels.codes, labels.groups))
        for train, test in splits:
            if all(np.isin(everything, labels.codes[side]).all() for side in (train, test)):
                return (test, train) if swapped else (train, test)
    raise LabelError(
        f"probe: no split by groups puts every class of {labels.name!r} on both sides; choose "
        f"other groups, or leave rare classes out"
    )


def _standard(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    scale[scale <= 1e-9 * (np.abs(mean) + scale.max() + 1e-30)] = 1.0  # a constant says nothing
    return mean, scale


def _train(
    Z: NDArray[Any], codes: NDArray[np.int64], classes: int, c: float, max_iter: int
) -> _Fit:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=max_iter, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported in the result instead
        model.fit(Z, codes)
    coef, intercept = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    iterations = int(np.max(model.n_iter_))
    return _Fit(coef.astype(np.float64), intercept, iterations, iterations < max_iter)


def _balanced(codes: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    recalls = [np.mean(predicted[codes == k] == k) for k in range(classes) if (codes == k).any()]
    return float(np.mean(recalls))


def _permuted(
    Z: NDArray[Any],
    labels: Labels,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    c: float,
    max_iter: int,
    permutations: int,
    seed: int,
) -> list[float]:
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(permutations):
        codes = permute_groups(labels.codes[train], labels.groups[train], rng)
        if len(np.unique(codes)) < len(labels.names):
            continue
        fit = _train(Z[train], codes, len(labels.names), c, max_iter)
        scores.append(_balanced(labels.codes[test], fit.predict(Z[test]), len(labels.names)))
    return scores


def _classes(
    labels: Labels,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> list[Class]:
    codes, groups = labels.codes[test], labels.groups[test]
    confusion = np.zeros((len(labels.names), len(labels.names)), np.int64)
    np.add.at(confusion, (codes, predicted), 1)
    rows = []
    for k, name in enumerate(labels.names):
        mine, named = confusion[k].sum(), confusion[:, k].sum()
        recall = float(confusion[k, k] / mine)
        low, high = wilson(recall, len(np.unique(groups[codes == k])))
        others = np.delete(confusion[k], k)
        wrong = int(np.delete(np.arange(len(labels.names)), k)[others.argmax()])
        rows.append(
            Class(
                label=name,
                train=int((labels.codes[train] == k).sum()),
                test=int(mine),
                recall=recall,
                low=low,
                high=high,
                precision=float(confusion[k, k] / named) if named else None,
                confused_with=labels.names[wrong] if others.any() else None,
            )
        )
    return rows


def _summary(
    labels: Labels,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    predicted: NDArray[np.int64],
    predicted_train: NDArray[np.int64],
    fit: _Fit,
    null: list[float],
    classes: list[Class],
) -> Summary:
    codes, groups, K = labels.codes[test], labels.groups[test], len(labels.names)
    balanced = float(np.mean([row.recall for row in classes]))
    trials = [len(np.unique(groups[codes == k])) for k in range(K)]
    low, high = wilson(balanced, K * K / float(np.sum(1 / np.array(trials))))
    commonest = np.bincount(labels.codes[train]).argmax()
    return Summary(
        rows=len(labels),
        classes=K,
        train=len(train),
        test=len(test),
        balanced_accuracy=balanced,
        low=low,
        high=high,
        accuracy=float((predicted == codes).mean()),
        train_balanced_accuracy=_balanced(labels.codes[train], predicted_train, K),
        majority=1 / K,
        majority_accuracy=float((codes == commonest).mean()),
        permuted=float(np.mean(null)) if null else None,
        permuted_high=max(null) if null else None,
        iterations=fit.iterations,
        converged=fit.converged,
    )
