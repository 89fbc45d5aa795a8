"""The graph of nearest neighbours, and what it says by itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .neighbours import Neighbours


@dataclass(frozen=True, eq=False)
class Network:
    """An undirected graph whose edges are as long as the distance of their ends.

    Edges of vertex v: indices, lengths [indptr[v] : indptr[v + 1]].
    in_degree: (vertices,) how many rows have this one among their neighbours.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    lengths: NDArray[np.float64]
    in_degree: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """(vertices,) number of edges."""
        return np.diff(self.indptr)

    @property
    def edges(self) -> int:
        """Number of edges."""
        return len(self.indices) // 2

    def components(self) -> NDArray[np.int64]:
        """Sizes of the connected components, the largest first."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        ones = np.ones(len(self.indices), np.int8)  # lengths may be zero: no edge to scipy
        graph: Any = csr_array((ones, self.indices, self.indptr), shape=(len(self), len(self)))
        _, member = connected_components(graph, directed=False)
        return np.sort(np.bincount(member))[::-1]

    def chance(self, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected score of classes of these sizes if labels were dealt out by chance.

        p_edge + p_far (n_c − 2) / (N − 2): a direct edge scores 1, every interior vertex of
        another path is in the class with the probability of its share among the rest.
        """
        n = len(self)
        pairs = n * (n - 1)
        p_edge = 2 * self.edges / pairs
        component = self.components()
        p_far = float((component * (component - 1)).sum()) / pairs - p_edge
        inner = (sizes - 2) / max(n - 2, 1)
        expected: NDArray[np.float64] = p_edge + p_far * inner.clip(min=0)
        return expected


def network(near: Neighbours, *, mutual: bool = False, link: bool = False) -> Network:
    """Join each row to its neighbours: an edge if either (mutual: each) has the other.

    link: rows that are the same are joined by edges of length 0; else they take up places among
        the nearest and are not joined, as in the published code.
    """
    n = len(near.index)
    ends = near.index.astype(np.int64)
    itself = ends == np.arange(n)[:, None]
    places = ~itself & ((~itself).cumsum(axis=1) <= near.k)
    kept = places if link else near.distance > 0
    start = np.repeat(np.arange(n), kept.sum(axis=1))
    stop, length = ends[kept], near.distance[kept]
    in_degree = np.bincount(stop, minlength=n)
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    key, first, times = np.unique(low * n + high, return_index=True, return_counts=True)
    if mutual:
        key, first = key[times == 2], first[times == 2]
    low, high, length = key // n, key % n, length[first]
    tail, head = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((head, tail))
    indptr = np.concatenate([[0], np.bincount(tail, minlength=n).cumsum()])
    both = np.concatenate([length, length])
    return Network(indptr, head[order].astype(np.int32), both[order], in_degree)
