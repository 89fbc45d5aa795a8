"""Axis Tour: an order in which neighbouring axes are alike (Yamagiwa, Takase & Shimodaira 2024)."""

import numpy as np
from numpy.typing import NDArray

LONGEST = 3  # of a stretch of the tour that is moved elsewhere (Or 1976)


def tour(similar: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an order of n axes whose neighbours are as similar (n, n) as can be.

    A closed tour of cost 1 − similarity: from the nearest neighbour each time, then 2-opt and
    Or-opt moves, the best of all each time, until none helps; opened at its weakest link. It
    is a local optimum.
    """
    n = len(similar)
    if n < 4:
        return np.arange(n)
    cost = 1 - similar
    order = _improved(_nearest_first(cost), cost)
    links = cost[order, np.roll(order, -1)]
    opened = np.roll(order, -int(links.argmax()) - 1)
    return opened if opened[0] < opened[-1] else opened[::-1].copy()


def consecutive(similar: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the similarity (n − 1,) of each axis in an order with the next."""
    found: NDArray[np.float64] = similar[order[:-1], order[1:]]
    return found


def _nearest_first(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    order, left = [0], np.ones(len(cost), bool)
    left[0] = False
    while left.any():
        order.append(int(np.where(left, cost[order[-1]], np.inf).argmin()))
        left[order[-1]] = False
    return np.array(order)


def _improved(order: NDArray[np.int64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Make the best move until none shortens the tour."""
    while True:
        gain, made = _best_turn(order, cost)
        for length in range(1, min(LONGEST, len(order) - 3) + 1):
            found = _best_shift(order, cost, length)
            if found[0] > gain:
                gain, made = found
        if gain <= 1e-12:
            return order
        order = made


def _best_turn(
    order: NDArray[np.int64], cost: NDArray[np.float64]
) -> tuple[float, NDArray[np.int64]]:
    """2-opt: turn the stretch between two links round."""
    D = cost[np.ix_(order, order)]
    step = np.roll(D, -1, axis=1).diagonal()  # from each place to the next
    gain = step[:, None] + step[None] - D - np.roll(D, (-1, -1), axis=(0, 1))
    gain[np.tril_indices(len(order))] = -np.inf
    i, j = np.unravel_index(gain.argmax(), gain.shape)
    made = order.copy()
    made[i + 1 : j + 1] = order[i + 1 : j + 1][::-1]
    return float(gain[i, j]), made


def _best_shift(
    order: NDArray[np.int64], cost: NDArray[np.float64], length: int
) -> tuple[float, NDArray[np.int64]]:
    """Or-opt: move a stretch of some length between two others, either way round."""
    n = len(order)
    D = cost[np.ix_(order, order)]
    places = np.arange(n)
    last, before, after = ((places + by) % n for by in (length - 1, -1, length))
    step = D[places, (places + 1) % n]
    out = D[before, places] + D[last, after] - D[before, after]  # of the stretch that begins there
    following = (places + 1) % n
    ahead = D[places][:, places] + D[last][:, following]  # (start, place that it comes after)
    turned = D[last][:, places] + D[places][:, following]
    gain = out[:, None] + step[None] - np.minimum(ahead, turned)
    # The stretch itself, and the link before it, are no places to go to.
    apart = (places[None] - places[:, None]) % n
    gain[(apart < length) | (apart == n - 1)] = -np.inf
    i, j = map(int, np.unravel_index(gain.argmax(), gain.shape))
    rolled = np.roll(order, -i)
    stretch, rest = rolled[:length], rolled[length:]
    at = (j - i) % n - length + 1
    if turned[i, j] < ahead[i, j]:
        stretch = stretch[::-1]
    return float(gain[i, j]), np.concatenate([rest[:at], stretch, rest[at:]])
