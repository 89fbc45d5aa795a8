"""The index of highest and lowest rows, kept while an extraction is written."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import TopKeeper, Window
from ..storage import Activation, Database, Packed, Part, decode, part_source

READ_ROWS = 4096


class Tops:
    """One keeper a site; rows that were stored before are read back once."""

    def __init__(self, database: Database, todo: Sequence[tuple[Activation, Part]]):
        self._sites = {a.site: (a.id, a.width) for a, _ in todo}
        self._done = {a.site: part.samples_done for a, part in todo}
        self._keepers = {a.site: TopKeeper(a.width) for a, _ in todo}
        for activation, part in todo:
            self._take_up(database, activation, part)

    def _take_up(self, database: Database, activation: Activation, part: Part) -> None:
        import torch

        source = part_source(database, activation, part)
        for start in range(0, part.rows_done, READ_ROWS):
            stop = min(start + READ_ROWS, part.rows_done)
            rows = np.empty((stop - start, activation.width), np.float32)
            source.read(start, stop, rows)
            self._keepers[activation.site].update(torch.from_numpy(rows))

    def update(self, window: Window, packed: Mapping[str, Sequence[Packed]]) -> None:
        """Take in a window that was written; a site that was further already passes it over."""
        import torch

        for site, matrix in window.data.items():
            if self._done[site] != window.first_sample:
                continue
            self._done[site] = window.stop_sample
            keeper = self._keepers[site]
            if packed[site] and packed[site][0].codec == "raw" and matrix.dtype != torch.float32:
                keeper.update(matrix, finite=not window.nonfinite[site])
                continue
            for one in packed[site]:  # what is stored is what is ranked
                rows = np.empty((one.rows, matrix.shape[1]), np.float32)
                decode(one.data, one.codec, one.dtype, rows)
                keeper.update(torch.from_numpy(rows), finite=not window.nonfinite[site])

    def packed(self, stop_sample: int) -> dict[int, tuple[int, int, NDArray[Any]]]:
        """Return rows, k and entries (width, 2, k) of each site that has all samples, by its id.

        A site that had come further, to where no window of this pass began, has not.
        """
        found = {}
        for site, keeper in self._keepers.items():
            if self._done[site] != stop_sample:
                continue
            entries = keeper.entries()
            found[self._sites[site][0]] = (keeper.rows, entries.shape[2], entries)
        return found
