"""Which rows' logits are explained, and of which tokens."""

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Layers, LoadedModel

from ..attribution import following, numbered
from ..unembedding import Unembedding

TOP = -1  # the likeliest token, which only the model knows
Places = dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]


def asked_rows(
    layers: Layers, head: Unembedding, model: LoadedModel, target: str, most: int
) -> Places:
    """Return by sample the positions that are explained, and the token of each (TOP: likeliest)."""
    if most < 0:
        raise InputError("decomposition_token_logits: rows must be 0 (all) or more")
    known = layers[0].rows
    if target == "next":
        places, tokens = following(known, head, most)
    else:
        places = np.arange(len(layers[0]))[: most or None]
        token = TOP if target == "top" else numbered(model, head, target)
        tokens = np.full(len(places), token)
    found: Places = {}
    for sample in np.unique(known.sample[places]).tolist():
        own = known.sample[places] == sample
        first = int(np.flatnonzero(known.sample == sample)[0])
        found[sample] = places[own] - first, tokens[own]
    return found
