"""What the study writes, one dataclass a table.

A series is one training run; its values come from one data set, of which decoders may have read
other targets (`data`). An indicator of a term at a site has one value a checkpoint.
"""

from dataclasses import dataclass
from typing import Annotated

Series = Annotated[str, "training run"]
Other = Annotated[str, "the other training run"]
Data = Annotated[str, "data set that the values are of"]
Step = Annotated[int, "updates of training"]
Site = Annotated[str, "where in the model"]
Indicator = Annotated[str, "relative_dot, cosine, norm_ratio or distance"]
Term = Annotated[str, "term of the decomposition; L1norm: sum of |differences| over the terms"]
Level = Annotated[str, "what differences are of: checkpoint, or sentence of a checkpoint"]
Metric = Annotated[str, "quality, a column of the file"]
Within = Annotated[bool, "whether both training runs have the same condition"]


@dataclass(frozen=True)
class Summary:
    """Correlation of one indicator of one term with a quality, over training runs and sites."""

    level: Level
    data: Data
    metric: Metric
    indicator: Indicator
    term: Term
    median: Annotated[float, "median over training runs and sites of |rho|"]
    lowest: Annotated[float, "lowest rho"]
    highest: Annotated[float, "highest rho"]
    same_sign: Annotated[float, "share of the sites at which all training runs agree in sign"]
    beyond: Annotated[float | None, "share of the intervals without 0; null where there is none"]
    site: Annotated[str, "site of the largest mean |rho|"]
    strongest: Annotated[float, "mean rho over training runs there"]
    series: Annotated[int, "training runs"]


@dataclass(frozen=True)
class Correlation:
    """Spearman correlation of differences in an indicator with differences in a quality."""

    level: Level
    series: Series
    data: Data
    metric: Metric
    site: Site
    indicator: Indicator
    term: Term
    rho: Annotated[float, "mean over repetitions of Spearman's rho of the raw indicator"]
    sd: Annotated[float, "its standard deviation over repetitions; 0 where all pairs are taken"]
    low: Annotated[float | None, "lower end of its 95 % interval, checkpoints (sentences) drawn"]
    high: Annotated[float | None, "upper end"]
    p: Annotated[float | None, "two-sided p, quality permuted over checkpoints in blocks"]
    step_rho: Annotated[float | None, "rho of the differences in steps with those in quality"]
    partial: Annotated[float | None, "rho with the differences in steps held fixed"]
    n: Annotated[int, "checkpoints; at the level of sentences, those of checkpoints drawn"]
    pairs: Annotated[int, "pairs in a repetition"]


@dataclass(frozen=True)
class Agreement:
    """Two training runs at the same step on identical tokens."""

    series: Series
    other: Other
    within: Within
    data: Data
    step: Step
    site: Site
    indicator: Indicator
    term: Term
    rho: Annotated[float, "Spearman's rho of the tokens' values in the two"]
    tokens: Annotated[int, "tokens whose value is defined in both"]


@dataclass(frozen=True)
class Warping:
    """Dynamic time warping between the curves of two training runs."""

    series: Series
    other: Other
    within: Within
    data: Data
    site: Site
    indicator: Indicator
    term: Term
    checkpoints: Annotated[int, "points of each curve, those of the shortest training run"]
    distance: Annotated[float, "sum of |differences| of z-scores along the best path"]


@dataclass(frozen=True)
class Permutation:
    """Whether curves of the same condition are nearer to each other than those of others."""

    data: Data
    site: Site
    indicator: Indicator
    term: Term
    within: Annotated[float, "mean distance of two training runs of the same condition"]
    between: Annotated[float, "mean distance of two of different conditions"]
    p: Annotated[float, "one-sided p that within is smaller, distances permuted (Pitman 1937)"]
    p_series: Annotated[float, "the same with the conditions of training runs permuted"]
    n_within: Annotated[int, "pairs of the same condition"]
    n_between: Annotated[int, "pairs of different conditions"]
    permutations: Annotated[int, "permutations of distances"]
    exact: Annotated[bool, "whether these are all there are"]


@dataclass(frozen=True)
class Variance:
    """How the mean value of a sentence varies with the run and with the sentence."""

    over: Annotated[str, "the runs: checkpoints of a training run, or training runs at a step"]
    data: Data
    site: Site
    indicator: Indicator
    term: Term
    run_share: Annotated[float, "share of the variance that is of the run"]
    sentence_share: Annotated[float, "share that is of the sentence"]
    rest_share: Annotated[float, "share of the rest: the sentence in the run"]
    total: Annotated[float, "sum of the three components, squared units of the indicator"]
    runs: Annotated[int, "runs"]
    sentences: Annotated[int, "sentences whose value is defined in all runs"]


@dataclass(frozen=True)
class Overlap:
    """How far values of tokens of one sentence overlap in two training runs at the same step."""

    series: Series
    other: Other
    within: Within
    data: Data
    step: Step
    site: Site
    indicator: Indicator
    term: Term
    above: Annotated[float, "mean over sentences of f = U / (n1 n2): the first above the second"]
    same: Annotated[float, "mean over sentences of 1 − |2 f − 1|; 1: they overlap wholly"]
    sd: Annotated[float, "standard deviation of that over sentences"]
    sentences: Annotated[int, "sentences"]


@dataclass(frozen=True)
class Targets:
    """One training run over the same samples with two kinds of targets, such as its own output."""

    series: Series
    data: Data
    other: Annotated[str, "the other data set"]
    site: Site
    indicator: Indicator
    term: Term
    rho: Annotated[float, "Spearman's rho of the two curves"]
    changes_rho: Annotated[float | None, "the same of what changes from checkpoint to checkpoint"]
    checkpoints: Annotated[int, "checkpoints that have both"]


@dataclass(frozen=True)
class Curve:
    """One indicator of one term at one checkpoint."""

    series: Series
    condition: Annotated[str, "training runs of the same condition differ in the seed only"]
    data: Data
    step: Step
    run: Annotated[int, "run that gave it"]
    model: Annotated[str, "model that it is of"]
    site: Site
    indicator: Indicator
    term: Term
    mean: Annotated[float | None, "mean over tokens; null where it is not defined"]
    z: Annotated[float | None, "z-score among the checkpoints of the series"]


@dataclass(frozen=True)
class Quality:
    """One quality of one checkpoint."""

    series: Series
    step: Step
    data: Data
    metric: Metric
    value: Annotated[float, "quality, in its own units"]


TABLES = {
    "summary": Summary,
    "correlation": Correlation,
    "agreement": Agreement,
    "warping": Warping,
    "permutation": Permutation,
    "variance": Variance,
    "overlap": Overlap,
    "targets": Targets,
    "curves": Curve,
    "qualities": Quality,
}
