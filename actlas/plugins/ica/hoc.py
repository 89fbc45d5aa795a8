"""Higher-order correlation of axes, its spanning tree and clusters (Oyama et al. 2024)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlas import Activations

from .items import BLOCK_ROWS
from .project import Axes
from .reading import row_blocks


@dataclass(frozen=True)
class Moments:
    """hoc: (k, k) E[s_i² s_j²]. means: (k, k) row j: mean of s/|s| over the top items of axis j."""

    hoc: NDArray[np.float64]
    means: NDArray[np.float64]


def moments(
    acts: Activations,
    axes: Axes,
    weights: NDArray[np.float64],
    top: NDArray[np.int64],
) -> Moments:
    """Go through the rows once. weights: (rows,); top: (k, items) rows of the axes' top items."""
    import torch
    from scipy.sparse import csc_array

    k, items = top.shape
    chosen = csc_array(
        (np.ones(top.size), (np.repeat(np.arange(k), items), top.ravel())), shape=(k, len(acts))
    )
    hoc, means, start = np.zeros((k, k)), np.zeros((k, k)), 0
    for given in row_blocks(acts, BLOCK_ROWS):
        S = axes(given).double()
        rows = slice(start, start + len(S))
        squares = S.square()
        share = torch.from_numpy(weights[rows]).to(S.device)
        hoc += (squares.T @ (squares * share[:, None])).cpu().numpy()
        unit = S / S.norm(dim=1, keepdim=True).clamp_min(1e-300)
        means += chosen[:, rows] @ unit.cpu().numpy()
        start += len(S)
    return Moments(hoc / weights.sum(), means / items)


def spanning_tree(hoc: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the parent (n,) of every node in the tree of largest HOC, −1 of the root.

    The tree is the minimum spanning tree on 1 / H; its root is a node from which no other is
    far.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree, shortest_path

    n = len(hoc)
    if n == 1:
        return np.array([-1])
    cost = 1 / hoc.clip(min=1e-12)
    np.fill_diagonal(cost, 0)
    tree = minimum_spanning_tree(cost)
    steps = shortest_path(tree, directed=False, unweighted=True)
    root = int(steps.max(axis=1).argmin())
    parents: NDArray[np.int64] = breadth_first_order(tree, root, directed=False)[1].astype(np.int64)
    return np.where(parents < 0, -1, parents)


def clusters(hoc: NDArray[np.float64], most: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster (n,) of every node by its eigenvectors, the largest cluster first."""
    from sklearn.cluster import SpectralClustering

    n = len(hoc)
    count = min(most, n // 3)
    if count < 2:
        return np.zeros(n, np.int64)
    model = SpectralClustering(
        count, affinity="precomputed", assign_labels="cluster_qr", random_state=seed
    )
    found = model.fit_predict(hoc.clip(min=1e-12))
    sizes = np.bincount(found, minlength=count)
    firsts = np.array([np.flatnonzero(found == c).min(initial=n) for c in range(count)])
    place = np.empty(count, np.int64)
    place[np.lexsort((firsts, -sizes))] = np.arange(count)
    numbers: NDArray[np.int64] = place[found]
    return numbers
