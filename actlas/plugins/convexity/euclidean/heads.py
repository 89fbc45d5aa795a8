"""What reads the end of a network: its own head, or a stored probe at a later site."""

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np

from actlas import InputError, LoadedModel, Result

from .decisions import Floats, Integers

ONE_ROW = ("mean", "first", "last")


class Head(ABC):
    """Turns what a forward pass gave into logits; read: the sites it needs."""

    read: tuple[Any, ...] = ()

    @abstractmethod
    def logits(self, run: Any, real: Integers) -> Floats:
        """Return (n, classes); real: (n,) positions that are the samples' own."""

    @abstractmethod
    def names(self, classes: int) -> tuple[str, ...]:
        """Return the names of the classes."""


@final
class OwnHead(Head):
    """The head that the network was tuned with."""

    def __init__(self, model: LoadedModel):
        self._model = model

    def logits(self, run: Any, real: Integers) -> Floats:
        """See `Head.logits`."""
        import torch

        found = getattr(run.output, "logits", run.output)
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or found.shape[1] < 2:
            raise InputError(
                f"convexity_euclidean: {self._model.spec} gives no logits (samples, classes); name "
                f"a later site that a stored probe reads, --other layers.-1"
            )
        return found.double().cpu().numpy()

    def names(self, classes: int) -> tuple[str, ...]:
        """See `Head.names`."""
        given = getattr(self._model.config, "id2label", None) or {}
        known = {int(code): str(name) for code, name in given.items()}
        return tuple(known.get(code, str(code)) for code in range(classes))


@final
class ProbeHead(Head):
    """A stored linear probe at a later site, pooled as its rows were."""

    def __init__(self, site: Any, probe: Result, pooling: str):
        if pooling not in ONE_ROW:
            raise InputError(
                f"convexity_euclidean: the probe at {site.name} read rows pooled by {pooling}; "
                f"extract with --pooling mean, first or last and probe those"
            )
        self.read, self._probe, self._pooling = (site,), probe, pooling

    def logits(self, run: Any, real: Integers) -> Floats:
        """See `Head.logits`."""
        states = run.states[self.read[0].name].double().cpu().numpy()  # (n, positions, width)
        if self._pooling == "first":
            pooled = states[:, 0]
        elif self._pooling == "last":
            pooled = states[np.arange(len(states)), real - 1]
        else:
            inside = (np.arange(states.shape[1]) < real[:, None])[..., None]
            pooled = np.where(inside, states, 0).sum(axis=1) / real[:, None]
        return linear(pooled, self._probe)

    def names(self, classes: int) -> tuple[str, ...]:
        """See `Head.names`."""
        return probe_names(self._probe)


def linear(X: Any, probe: Result) -> Floats:
    """Return the logits (n, classes) of a stored probe."""
    coef, intercept = probe.arrays["coef"], probe.arrays["intercept"]
    if X.shape[1] != coef.shape[1]:
        raise InputError(
            f"convexity_euclidean: the probe reads {coef.shape[1]} dimensions, these rows have "
            f"{X.shape[1]}; name a run of probe at the same site with --base"
        )
    found: Floats = X.astype(np.float64) @ coef.T + intercept
    return found


def probe_names(probe: Result) -> tuple[str, ...]:
    """Return the classes that a stored probe tells apart, in the order of its logits."""
    return tuple(str(name) for name in probe.tables["classes"]["label"])
