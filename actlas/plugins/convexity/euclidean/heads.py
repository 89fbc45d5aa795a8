"""What reads the end of a network: its own head, or a stored probe at a later site."""

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np

from actlas import InputError, LoadedModel, Result

from ..probes import linear, probe_names
from .decisions import Floats, Integers

WHO = "convexity_euclidean"
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

    @abstractmethod
    def known(self) -> tuple[str, ...]:
        """Return the names that are known before any sample is run; none where none are."""


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
        given = self._given()
        return tuple(given.get(code, str(code)) for code in range(classes))

    def known(self) -> tuple[str, ...]:
        """See `Head.known`."""
        return self.names(len(self._given()))

    def _given(self) -> dict[int, str]:
        given = getattr(self._model.config, "id2label", None) or {}
        return {int(code): str(name) for code, name in given.items()}


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
        return linear(pooled, self._probe, WHO)

    def names(self, classes: int) -> tuple[str, ...]:
        """See `Head.names`."""
        return self.known()

    def known(self) -> tuple[str, ...]:
        """See `Head.known`."""
        return probe_names(self._probe)
