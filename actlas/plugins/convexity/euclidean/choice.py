"""Which rows are judged, and by what."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from actlas import (
    Activations,
    InputError,
    LabelError,
    Labels,
    LoadedModel,
    Others,
    Result,
    Samples,
    load_classifier,
)

from ..probes import linear, probe_names
from ..sample import Sample, chosen
from .decisions import Decision, Floats, Function, Integers, Linear
from .heads import WHO, Head, OwnHead, ProbeHead
from .rest import Rest

MLP_WIDTH, MLP_PASSES = 64, 200


@dataclass(frozen=True, eq=False)
class Given:
    """What the analysis was given."""

    acts: Activations
    labels: Labels
    base: Result | None
    others: Others | None
    model: LoadedModel | None
    samples: Samples | None


@dataclass(frozen=True, eq=False)
class Judge:
    """A decision, the rows it judges, and what reads the end.

    rows: (n,) numbers among the rows given. target: (label names,) the decision's class of each
    label; −1 where it knows none.
    """

    decision: Decision
    sample: Sample
    rows: Integers
    target: Integers
    head: str


def judge(
    given: Given,
    how: Literal["network", "probe", "centroid", "mlp"],
    *,
    padded: bool,
    per_class: int,
    seed: int,
) -> Judge:
    """Make the decision function and choose the rows."""
    if given.others is not None and how != "network":
        raise InputError(
            f"convexity_euclidean: a later site's probe reads the end of the network; "
            f"decision={how} needs none, leave --other out"
        )
    if how == "network":
        keep = _one_row_a_sample(given)
    elif how == "mlp":
        train, keep = _halves(given.labels, seed)
    else:
        keep = np.arange(len(given.acts))
    labels = given.labels.take(keep)
    sample = chosen(given.acts.take(keep), labels, per_class=per_class, seed=seed, who=WHO)
    rows = keep[sample.rows]
    head: str = how
    decision: Decision
    if how == "network":
        decision, head = _network(given, rows, sample.names, padded=padded)
    elif how == "probe":
        assert given.base is not None  # by `when`
        decision = Linear(linear(sample.matrix(), given.base, WHO), probe_names(given.base))
    elif how == "centroid":
        decision = _centroid(sample)
    else:
        decision = _mlp(given, train, sample, seed)
    return Judge(decision, sample, rows, _targets(sample.names, decision.names, labels.name), head)


def _one_row_a_sample(given: Given) -> Integers:
    """Return the first labelled row of each sample; its label must be that of all of them."""
    known = np.flatnonzero(given.labels.known)
    samples, codes = given.acts.rows.sample[known], given.labels.codes[known]
    _, first, inverse = np.unique(samples, return_index=True, return_inverse=True)
    if len(known) and (codes != codes[first][inverse]).any():
        raise LabelError(
            f"convexity_euclidean: {given.labels.name} labels words, and a network judges whole "
            f"samples; choose labels of samples, or decision=probe"
        )
    return np.sort(known[first])


def _network(
    given: Given, rows: Integers, labels: tuple[str, ...], *, padded: bool
) -> tuple[Decision, str]:
    assert given.model is not None  # by `when`
    assert given.samples is not None
    numbers, head = given.acts.rows.sample[rows], "own"
    reader: Head
    if given.others is None:
        model = load_classifier(given.model)
        reader = OwnHead(model)
    else:
        model, (other, *more) = given.model, given.others
        if more or other.base is None or ":" in other.name.removeprefix("module:"):
            raise InputError(
                "convexity_euclidean: one later site of this extraction reads the end; name it "
                "with one --other"
            )
        (site,) = model.select(other.acts.site)
        reader, head = ProbeHead(site, other.base, given.samples.pooling), f"probe at {site.name}"
    if known := reader.known():  # unknown labels are refused before any sample is run
        _targets(labels, known, given.labels.name)
    (site,) = model.select(_name_in(model, given.model, given.acts.site))
    return Rest(model, site, reader, given.samples, numbers, padded=padded), head


def _name_in(model: LoadedModel, without: LoadedModel, name: str) -> str:
    """Return a site's name in the network with its head, whose submodules are one level down."""
    if model is without or not name.startswith("module:"):
        return name
    return f"module:{model.module.base_model_prefix}.{name.removeprefix('module:')}"


def _centroid(sample: Sample) -> Decision:
    """Decide by the nearest class mean: linear, as ‖x‖² is common to all classes."""
    X = sample.matrix().astype(np.float64)
    X -= X.mean(axis=0)
    sums = np.zeros((len(sample.names), X.shape[1]))
    np.add.at(sums, sample.codes, X)
    means = sums / np.bincount(sample.codes)[:, None]
    return Linear(X @ means.T - (means**2).sum(axis=1) / 2, sample.names)


def _halves(labels: Labels, seed: int) -> tuple[Integers, Integers]:
    """Split the labelled rows by whole groups: what is trained on, and what is judged."""
    known = np.flatnonzero(labels.known)
    groups = np.unique(labels.groups[known])
    mine = np.random.default_rng(seed).permutation(groups)[: len(groups) // 2]
    trained = np.isin(labels.groups[known], mine)
    if len(np.unique(labels.codes[known[trained]])) < 2:
        raise LabelError(
            f"convexity_euclidean: half of the groups of {labels.name} hold fewer than two "
            f"classes; choose labels of two classes or more, or other groups"
        )
    return known[trained], known[~trained]


def _mlp(given: Given, train: Integers, sample: Sample, seed: int) -> Decision:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier((MLP_WIDTH,), max_iter=MLP_PASSES, random_state=seed)
    model = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # one that has not settled decides too
        model.fit(given.acts.take(train).numpy(), given.labels.codes[train])

    def logits(X: Any) -> Floats:
        found: Floats = np.log(np.maximum(model.predict_proba(X), 1e-300))
        return found

    return Function(
        sample.matrix(), logits, tuple(given.labels.names[code] for code in network.classes_)
    )


def _targets(labels: tuple[str, ...], names: tuple[str, ...], called: str) -> Integers:
    """Match labels with the decision's classes by name, or by number where it has no names."""
    place = {name: code for code, name in enumerate(names)}
    if not set(labels) & set(names) and all(name == f"LABEL_{place[name]}" for name in names):
        place = {str(code): code for code in range(len(names))}
    found = np.array([place.get(label, -1) for label in labels])
    if (found < 0).all():
        raise InputError(
            f"convexity_euclidean: {called} has {', '.join(labels[:3])}, … and what judges tells "
            f"{', '.join(names[:3])}, … apart; choose labels of the same names (a head's are "
            f"id2label in config.json; another probe: --base RUN)"
        )
    return found
