"""The tables of `sim_probe`."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Summary:
    """Whether the rows say anything, and only then how; one row a run."""

    gate: Annotated[
        str,
        "informative, partly collapsed (at most half of the dimensions live), uninformative (rows "
        "vary), collapsed (they do not, or posteriors are the prior), not judged; and why",
    ]
    informative: Annotated[
        bool | None,
        "whether a factor is read above chance (from draws too) and a unit is active or a decoder "
        "explains above 5 %, where either is known; missing without factors; where not true "
        "nothing below is interpreted",
    ]
    concentration: Annotated[
        float | None, "mean over readable factors of Gini less its mean over random rotations"
    ]
    disentanglement: Annotated[float | None, "DCI disentanglement less that of random rotations"]
    completeness: Annotated[float | None, "DCI completeness less that of random rotations"]
    mig: Annotated[float | None, "mutual information gap less that of random rotations"]
    sap: Annotated[float | None, "separated attribute predictability less that of rotations"]
    accuracy: Annotated[float | None, "mean accuracy (R² of continuous factors) over factors"]
    baseline: Annotated[float | None, "mean of what the commonest class gives (0 for R²)"]
    marginal_kl: Annotated[
        float | None, "mean over dimensions of KL to N(0, 1), nats; missing if partly collapsed"
    ]
    total_correlation: Annotated[
        float | None, "Gaussian, bias taken out, nats, at least; missing if partly collapsed"
    ]
    rate: Annotated[float | None, "mean KL of the posteriors to N(0, I), nats per vector"]
    active_units: Annotated[int | None, "dimensions whose mean varies by more than 0.01"]
    decoder_r2: Annotated[
        float | None, "R² of the run of sim_decode at the site; missing where there is none"
    ]
    dead: Annotated[int, "dimensions that do not vary at all"]
    law_of: Annotated[str, "what closeness to N(0, I) is measured of: rows, or draws"]
    rows: Annotated[int, "rows read"]
    probe_rows: Annotated[int, "rows that probes saw, after pooling"]
    train: Annotated[int | None, "of them trained on"]
    test: Annotated[int | None, "of them tested on"]
    groups: Annotated[int | None, "groups of rows that were not split"]
    width: Annotated[int, "dimensions"]


@dataclass(frozen=True)
class Dimension:
    """One dimension: its law, and what it says of factors."""

    dim: Annotated[int, "index of the dimension"]
    mean: Annotated[float, "mean"]
    variance: Annotated[float, "variance"]
    kl: Annotated[float | None, "(mean² + variance − 1 − ln variance) / 2, nats; moments only"]
    ks: Annotated[float, "largest distance of its distribution from that of N(0, 1)"]
    wasserstein: Annotated[float, "mean distance of its quantiles from those of N(0, 1)"]
    skewness: Annotated[float | None, "third standardised moment"]
    kurtosis: Annotated[float | None, "fourth standardised moment less 3"]
    lag1: Annotated[float | None, "correlation with itself a frame later, within samples"]
    rate: Annotated[float | None, "mean KL of its posteriors to N(0, 1), nats"]
    mean_variance: Annotated[float | None, "variance of its posterior mean over rows"]
    importance: Annotated[float | None, "mean over factors of its share of their importance"]
    factor: Annotated[str | None, "factor of which it has the largest share"]
    dead: Annotated[bool, "whether it does not vary at all"]


@dataclass(frozen=True)
class Factor:
    """One factor: how well it is read, and from how many dimensions."""

    factor: Annotated[str, "name of the label set"]
    kind: Annotated[str, "categorical, or continuous: then accuracies are R²"]
    classes: Annotated[int | None, "classes"]
    train: Annotated[int, "labelled rows trained on"]
    test: Annotated[int, "labelled rows tested on"]
    c: Annotated[float, "inverse strength of the L2 penalty"]
    accuracy: Annotated[float, "share of test rows predicted right; R² of a continuous factor"]
    low: Annotated[
        float | None, "lower end of its 95 % interval, rows of a group depending as they turn out"
    ]
    high: Annotated[float | None, "upper end of it"]
    balanced: Annotated[float | None, "mean recall over classes"]
    macro_f1: Annotated[float | None, "mean over classes of the F1 score"]
    explicitness: Annotated[float | None, "mean over classes of one-versus-rest AUC"]
    majority: Annotated[float, "accuracy of the commonest training class; 0 of R²"]
    permuted: Annotated[float | None, "mean accuracy with labels permuted between groups"]
    random_features: Annotated[float, "accuracy from as many dimensions of pure noise"]
    selectivity: Annotated[
        float | None,
        "accuracy less that of a control task: labels drawn anew for each token (Hewitt & Liang "
        "2019); missing where rows are no tokens, or tokens are but places (frames, patches)",
    ]
    draw_accuracy: Annotated[float | None, "accuracy from draws of the posterior"]
    draw_low: Annotated[float | None, "lower end of its 95 % interval"]
    readable: Annotated[bool, "whether accuracies, of draws too, are above chance by 3 errors"]
    converged: Annotated[bool, "whether the probe met its tolerance"]
    k90: Annotated[int | None, "fewest dimensions tried that keep 90 % of what is above chance"]
    narea: Annotated[
        float | None, "mean over log k of the share above chance that the best k dimensions keep"
    ]
    narea_random: Annotated[float | None, "the same of dimensions in random order"]
    narea_bottom: Annotated[float | None, "the same of the least important first"]
    gini: Annotated[float, "Gini coefficient of importances (0 … 1 − 1/width)"]
    entropy: Annotated[float | None, "1 − entropy of importances / ln width"]
    participation: Annotated[float, "(Σ importance)² / Σ importance²: effective dimensions"]
    hoyer: Annotated[float | None, "(√width − ℓ1/ℓ2) / (√width − 1) of importances"]


@dataclass(frozen=True)
class Importance:
    """What one dimension means to one factor: the matrix of importances, cell by cell."""

    factor: Annotated[str, "name of the label set"]
    dim: Annotated[int, "index of the dimension"]
    importance: Annotated[float, "importance, of standardised dimensions"]
    share: Annotated[float, "importance / sum over dimensions"]
    rank: Annotated[int, "0 for the most important"]
    information: Annotated[float, "mutual information of the binned dimension, nats"]
    r2: Annotated[float, "R² of the dimension alone (share of variance between classes)"]


@dataclass(frozen=True)
class Score:
    """One score beside what chance gives."""

    score: Annotated[str, "name of the score"]
    factor: Annotated[str | None, "factor it is of; missing for scores of all"]
    value: Annotated[float | None, "score of the rows; missing where it is not defined"]
    null: Annotated[
        float | None, "mean over random rotations; of laws, accuracies: what N(0, I), chance gives"
    ]
    null_low: Annotated[float | None, "least over rotations"]
    null_high: Annotated[float | None, "largest over rotations"]
    excess: Annotated[float | None, "value − null: the number to read"]
    interpreted: Annotated[bool, "whether the gate lets it be read"]


@dataclass(frozen=True)
class TopK:
    """Accuracy from some of the dimensions."""

    factor: Annotated[str, "name of the label set"]
    order: Annotated[str, "top: most important first; bottom: least; random"]
    method: Annotated[str, "refit: a probe of these; mask: the whole probe, others at their mean"]
    k: Annotated[int, "dimensions"]
    accuracy: Annotated[float, "accuracy on test rows; R² of a continuous factor"]


@dataclass(frozen=True)
class Bin:
    """One bar of the histogram of a dimension that is drawn."""

    dim: Annotated[int, "index of the dimension"]
    low: Annotated[float, "left edge"]
    high: Annotated[float, "right edge"]
    density: Annotated[float, "share of rows / width of the bar"]
    normal: Annotated[float, "density of N(0, 1) in the middle of the bar"]


@dataclass(frozen=True)
class Quantile:
    """One quantile of a dimension that is drawn."""

    dim: Annotated[int, "index of the dimension"]
    level: Annotated[float, "share of rows below"]
    value: Annotated[float, "quantile"]
    normal: Annotated[float, "that of N(0, 1)"]


@dataclass(frozen=True)
class WeightDensity:
    """Density of a probe's weights at one value."""

    factor: Annotated[str, "name of the label set"]
    weight: Annotated[float, "weight of a standardised dimension / largest magnitude"]
    density: Annotated[float, "kernel density (Gaussian, half of Scott's bandwidth)"]


TABLES = {
    "summary": Summary,
    "factors": Factor,
    "scores": Score,
    "dimensions": Dimension,
    "importance": Importance,
    "topk": TopK,
    "histograms": Bin,
    "quantiles": Quantile,
    "weights": WeightDensity,
}
