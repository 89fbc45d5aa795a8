"""Compiled loops. They release the GIL, so that threads share them out."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LOOK = 32  # vertices settled before the farthest target is looked for again
TIE = 1e-12  # relative difference below which two paths are as long as each other


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile for threads, and keep the code on disk where a folder for it can be written."""
    try:
        found: Callable[..., None] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # none can be: compiled anew in every process
        found = njit(nogil=True)(function)
    return found


@compiled
def rerank(
    X: NDArray[np.float32],
    first: int,
    candidates: NDArray[np.int32],
    index: NDArray[np.int32],
    distance: NDArray[np.float64],
) -> None:
    """Put each row's nearest candidates into `index`, `distance`: exact, ties by index.

    Row i of candidates belongs to row first + i of X.
    """
    width, kept = X.shape[1], index.shape[1]
    for i in range(len(candidates)):
        held = 0
        for c in candidates[i]:
            d = 0.0
            for j in range(width):
                gap = np.float64(X[first + i, j]) - np.float64(X[c, j])
                d += gap * gap
            d = np.sqrt(d)
            if held == kept and not _before(d, c, distance[i, kept - 1], index[i, kept - 1]):
                continue
            place = held if held < kept else kept - 1
            while place > 0 and _before(d, c, distance[i, place - 1], index[i, place - 1]):
                distance[i, place] = distance[i, place - 1]
                index[i, place] = index[i, place - 1]
                place -= 1
            distance[i, place] = d
            index[i, place] = c
            held = min(held + 1, kept)


@njit(nogil=True, inline="always")
def _before(d: float, c: int, other_d: float, other_c: int) -> bool:
    return d < other_d or (d == other_d and c < other_c)


@compiled
def walk(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    lengths: NDArray[np.float64],
    inside: NDArray[np.uint8],
    sources: NDArray[np.int64],
    bounds: NDArray[np.int64],
    targets: NDArray[np.int64],
    best: bool,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    visits: NDArray[np.int64],
) -> None:
    """Score the shortest paths from each source to its targets (Dijkstra; algorithm of 5b).

    inside: (vertices,) 1 where a vertex is in the class. targets of source i are
    targets[bounds[i, 0] : bounds[i, 1]]; the source itself is passed over.
    best: of paths as short, the one with the fewest vertices outside; else the first found.
    sums (sources, 2): of scores and of their squares. counts (sources, 4): pairs, direct edges,
    unreachable, wholly inside. visits (vertices,): paths that pass through, added to.
    """
    n = len(indptr) - 1
    dist = np.full(n, np.inf)
    parent = np.full(n, -1, np.int32)
    depth = np.zeros(n, np.int32)  # edges from the source
    hits = np.zeros(n, np.int32)  # vertices inside, the source not counted
    place = np.full(n, -1, np.int32)  # in the heap; −2: settled
    heap = np.empty(n, np.int32)
    order = np.empty(n, np.int32)  # vertices as they were settled
    below = np.zeros(n, np.int64)  # wanted vertices in the subtree
    wanted = np.zeros(n, np.uint8)
    slack = 1 + TIE if best else 1.0
    for i in range(len(sources)):
        source = sources[i]
        missing = 0
        for t in targets[bounds[i, 0] : bounds[i, 1]]:
            if t != source:
                wanted[t] = 1
                missing += 1
        counts[i, 0] = missing
        dist[source] = 0.0
        heap[0] = source
        place[source] = 0
        size, settled = 1, 0
        farthest = np.inf  # of the targets: what lies beyond is on no path to one
        while size > 0 and missing > 0:
            if settled % LOOK == 0:
                farthest = _farthest(dist, targets[bounds[i, 0] : bounds[i, 1]])
            u = heap[0]
            size -= 1
            if size > 0:
                heap[0] = heap[size]
                place[heap[0]] = 0
                _down(heap, place, dist, 0, size)
            place[u] = -2
            order[settled] = u
            settled += 1
            missing -= wanted[u]
            for e in range(indptr[u], indptr[u + 1]):
                v = indices[e]
                length = dist[u] + lengths[e]
                if length > dist[v] * slack or length > farthest or place[v] == -2:
                    continue
                margin = TIE * length if best else 0.0
                if length < dist[v] - margin:
                    taken = True
                elif best and length <= dist[v] + margin:
                    now, then = depth[u] + 1 - hits[u], depth[parent[v]] + 1 - hits[parent[v]]
                    taken = now < then or (now == then and depth[u] + 1 > depth[v])
                    length = min(length, dist[v])
                else:
                    taken = False
                if not taken:
                    continue
                dist[v] = length
                parent[v] = u
                depth[v] = depth[u] + 1
                hits[v] = hits[u] + inside[v]
                if place[v] < 0:
                    place[v] = size
                    heap[size] = v
                    size += 1
                _up(heap, place, dist, place[v])
        for t in targets[bounds[i, 0] : bounds[i, 1]]:
            if t == source:
                continue
            if place[t] != -2:
                counts[i, 2] += 1
                continue
            between = depth[t] - 1
            if between == 0:
                counts[i, 1] += 1
                counts[i, 3] += 1
                sums[i, 0] += 1.0
                sums[i, 1] += 1.0
                continue
            kept = hits[t] - inside[t]
            score = kept / between
            counts[i, 3] += kept == between
            sums[i, 0] += score
            sums[i, 1] += score * score
        for j in range(settled - 1, 0, -1):
            v = order[j]
            visits[v] += below[v]
            below[parent[v]] += below[v] + wanted[v]
        for j in range(settled):
            _forget(order[j], dist, parent, depth, hits, place, below)
        for j in range(size):
            _forget(heap[j], dist, parent, depth, hits, place, below)
        for t in targets[bounds[i, 0] : bounds[i, 1]]:
            wanted[t] = 0


@njit(nogil=True, inline="always")
def _farthest(dist: Any, targets: Any) -> float:
    """The longest distance that a target is known to be within, a tie included."""
    longest = 0.0
    for t in targets:
        longest = max(longest, dist[t])
    return longest * (1 + TIE)


@njit(nogil=True, inline="always")
def _forget(v: int, dist: Any, parent: Any, depth: Any, hits: Any, place: Any, below: Any) -> None:
    dist[v] = np.inf
    parent[v] = -1
    depth[v] = 0
    hits[v] = 0
    place[v] = -1
    below[v] = 0


@njit(nogil=True, inline="always")
def _up(heap: Any, place: Any, dist: Any, i: int) -> None:
    v = heap[i]
    d = dist[v]
    while i > 0:
        above = (i - 1) >> 2  # four children: a flat heap moves less
        u = heap[above]
        if not _before(d, v, dist[u], u):
            break
        heap[i] = u
        place[u] = i
        i = above
    heap[i] = v
    place[v] = i


@njit(nogil=True, inline="always")
def _down(heap: Any, place: Any, dist: Any, i: int, size: int) -> None:
    v = heap[i]
    d = dist[v]
    while True:
        first = 4 * i + 1
        if first >= size:
            break
        child, u = first, heap[first]
        nearest = dist[u]
        for c in range(first + 1, min(first + 4, size)):
            w = heap[c]
            if _before(dist[w], w, nearest, u):
                child, u, nearest = c, w, dist[w]
        if not _before(nearest, u, d, v):
            break
        heap[i] = u
        place[u] = i
        i = child
    heap[i] = v
    place[v] = i
