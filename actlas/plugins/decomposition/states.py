"""States by site: of a stored extraction block by block, or of a model that is run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from actlas import Activations, LackingError, Layers, LoadedModel, Rows, Samples

from .bound import Bound

if TYPE_CHECKING:
    import torch

BLOCK = 1 << 19  # numbers of a state that are read at once: eight such tensors are held


class Stored(Mapping[str, "torch.Tensor"]):
    """Some rows of every site, each read when it is asked for."""

    def __init__(self, layers: Layers, start: int, stop: int, device: str):
        self._sites = {acts.site: acts for acts in layers}
        self._span, self._device = slice(start, stop), device

    def __getitem__(self, site: str) -> "torch.Tensor":
        import torch

        return torch.from_numpy(self._sites[site][self._span]).to(self._device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


class Differences(Mapping[str, "torch.Tensor"]):
    """The residual stream, and what every block adds to it (see `blocks`)."""

    def __init__(self, states: Mapping[str, "torch.Tensor"], bound: Bound):
        self._states = states
        self._before = {
            branch.site: (bound.depths[branch.layer - 1], bound.depths[branch.layer])
            for branch in bound.branches
        }

    def __getitem__(self, site: str) -> "torch.Tensor":
        if site not in self._before:
            return self._states[site]
        before, after = self._before[site]
        return self._states[after] - self._states[before]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._states, *self._before))

    def __len__(self) -> int:
        return len(self._states) + len(self._before)


def side_of(layers: Layers) -> str:
    """The stack that an extraction is of: "", "encoder" or "decoder"."""
    first = layers.names[0].partition(".")[0]
    return first if first in ("encoder", "decoder") else ""


def refuse_lacking(layers: Layers, wanted: Sequence[str], preset: str, spec: str) -> None:
    """Raise LackingError for sites that are not there, with the command that adds them."""
    lacking = [name for name in wanted if name not in layers.names]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise LackingError(
            f"decomposition: the sites read lack {lacking[0]}{more}; to store them too",
            spec, f"--pooling token --sites '{preset}'",
        )  # fmt: skip


def spans(layers: Layers) -> list[tuple[int, int]]:
    """Blocks of rows that are read at once; they depend on the width alone."""
    rows, step = len(layers[0]), max(1, BLOCK // layers[0].width)
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]


def rounding(layers: Layers) -> str:
    """Say as what the numbers were computed or stored: float32, float16 or bfloat16."""
    import torch

    rows = torch.from_numpy(layers[-1][: min(64, len(layers[-1]))])
    for name in ("bfloat16", "float16"):
        if torch.equal(rows.to(getattr(torch, name)).float(), rows):
            return name
    return "float32"


def captured(
    model: LoadedModel, data: Samples | Sequence[str], sites: str | Sequence[str] = "decomposition",
    *, batch: int = 8,
) -> Layers:  # fmt: skip
    """Run a model and hold its states at some sites in memory: what a stored extraction gives.

    data: texts, or the samples of an extraction. One row a position, padding left out, in order.
    """
    samples = data if isinstance(data, Samples) else Samples.of(data, pooling="token")
    chosen = model.select(sites if isinstance(sites, str) else list(sites))
    read: list[Any] = []
    found: dict[str, list[Any]] = {site.name: [] for site in chosen}
    for start in range(0, len(samples), batch):
        numbers = range(start, min(start + batch, len(samples)))
        encoded = samples.encoded(model, chosen[0], numbers)
        states = model.capture(model.feed.collate(encoded), chosen)
        for name, tensor in states.items():
            pairs = zip(tensor, encoded, strict=True)
            found[name] += [rows[: len(one)].cpu() for rows, one in pairs]
        read += encoded
    rows = _rows(model, read)
    return Layers.of(*(_held(parts, rows, name) for name, parts in found.items()))


def _held(parts: Sequence["torch.Tensor"], rows: Rows, name: str) -> Activations:
    import torch

    return Activations.of(torch.cat(list(parts)), rows=rows, site=name)


def _rows(model: LoadedModel, read: Sequence[Any]) -> Rows:
    ids = [one.read if one.read is not None else [-1] * len(one) for one in read]
    flat = np.concatenate([np.asarray(some, np.int64) for some in ids])
    tokens: list[str | None] = []
    for one, some in zip(read, ids, strict=True):
        for start, end, number in zip(one.starts, one.ends, some, strict=True):
            tokens.append(one.text[start:end] if start >= 0 else model.feed.token_name(number))
    return Rows.build(
        np.concatenate([np.full(len(one), one.sample) for one in read]),
        position=np.concatenate([np.arange(len(one)) for one in read]),
        token=tokens,
        token_id=flat,
        start=np.concatenate([one.starts for one in read]),
        end=np.concatenate([one.ends for one in read]),
        special=np.concatenate([one.special for one in read]),
    )
