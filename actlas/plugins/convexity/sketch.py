"""One telling path, drawn in the plane."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .networks import Network
from .paths import ClassPaths
from .sample import Sample
from .tables import PathPoint

AROUND = 120  # neighbours shown beside the path
SOURCES = 20  # rows of low score that are tried


def sketch(
    graph: Network, paths: Sequence[ClassPaths], sample: Sample, X: NDArray[np.float32]
) -> list[PathPoint]:
    """Place the vertices of a path, and their neighbours, in the plane.

    The path begins at the row of lowest score and is the longest from there with a vertex of
    another class; where paths of such rows stay inside, the longest. Coordinates are the first
    two principal components of what is shown (classical scaling), the same for the same input.
    Empty where no path has a vertex between its ends.
    """
    path = _telling(graph, paths, sample.codes)
    if len(path) < 3:
        return []
    beside = np.concatenate(
        [graph.indices[graph.indptr[v] : graph.indptr[v + 1]] for v in path]
    ).astype(np.int64)
    apart, first = np.unique(beside[~np.isin(beside, path)], return_index=True)
    shown = np.array([*path, *apart[np.argsort(first)][:AROUND]])
    tokens = sample.acts.rows.token
    steps: list[int | None] = [*range(len(path)), *[None] * (len(shown) - len(path))]
    return [
        PathPoint(step, row, sample.names[code], tokens[place], step is not None, x, y)
        for step, row, place, code, (x, y) in zip(
            steps,
            sample.numbers[shown].tolist(),
            sample.rows[shown].tolist(),
            sample.codes[shown].tolist(),
            _plane(X[shown]).tolist(),
            strict=True,
        )
    ]


def _telling(graph: Network, paths: Sequence[ClassPaths], codes: NDArray[np.int64]) -> list[int]:
    """Vertices of the path, its ends included."""
    members = np.concatenate([p.members for p in paths if p.pairs])
    scores = np.concatenate([p.by_row for p in paths if p.pairs])
    best, telling = [], (False, 0)
    for source in members[np.argsort(scores, kind="stable")][:SOURCES].tolist():
        for path in _paths_from(graph, source, np.flatnonzero(codes == codes[source])):
            found = (bool((codes[path] != codes[source]).any()), len(path))
            if found > telling:
                best, telling = path, found
        if telling[0]:
            break
    return best


def _paths_from(graph: Network, source: int, targets: NDArray[np.int64]) -> Iterator[list[int]]:
    """Shortest paths to those targets that can be reached."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    parts = (graph.lengths, graph.indices, graph.indptr)
    matrix = csr_array(parts, shape=(len(graph), len(graph)))
    _, before = dijkstra(matrix, indices=source, return_predecessors=True)
    for target in targets.tolist():
        path = _walk_back(before, target)
        if path[0] == source:
            yield path


def _walk_back(before: NDArray[np.int32], target: int) -> list[int]:
    path = [target]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path[::-1]


def _plane(X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Principal components (n, 2), the entry of largest size of each direction positive."""
    centred = X - X.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, X.shape[1]))
    two[: len(directions)] = directions[:2]
    largest = np.abs(two).argmax(axis=1)
    signs = np.where(two[[0, 1], largest] < 0, -1, 1)
    found: NDArray[np.float64] = centred @ (two * signs[:, None]).T
    return found
