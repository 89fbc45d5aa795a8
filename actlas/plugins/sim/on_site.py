"""An encoder on top of a site of another model: its folder, its feed, and how it is loaded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from actlas import Batch, Dataset, DatasetError, Encoded, Feed, LoadedModel, ModelError, Site
from actlas import load_model as load_any

from .config import SimConfig
from .network import CONFIG, Scaling
from .waves import WaveFeed

PREFIX = "sim."
NOWHERE = -1  # the span of what is no part of the sample


@dataclass(frozen=True)
class Base:
    """The site whose positions an encoder reads, as config.json has it in `trained`.

    spec, digest: of the model. site: its name there. mean, std: (width,) of the rows trained on,
        which are subtracted and divided by.
    """

    spec: str
    digest: str
    site: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_base(folder: Path) -> Base | None:
    """Read the site of config.json, None where the network reads waveforms; or raise ModelError."""
    path = folder / CONFIG
    try:
        stored = json.loads(path.read_text("utf-8"))["trained"].get("base")
        if stored is None:
            return None
        return Base(**{**stored, "mean": tuple(stored["mean"]), "std": tuple(stored["std"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} is not of `actlas train sim` ({error}); train the model again"
        ) from error


def on_site(
    model: LoadedModel, base: Base, config: SimConfig, *, device: str, compute_dtype: str
) -> LoadedModel:
    """Put an encoder on top of the site of the model it was trained on.

    model: the encoder alone, as its loader has it; its spec is kept. Its sites are called
        `sim.layers.0` and so on, beside those of the model below.

    Raises ModelError where that model has changed, or has no such site.
    """
    import torch
    import xxhash

    from .on_site_network import OnSite

    below = load_any(base.spec, device=device, compute_dtype=compute_dtype)
    if below.digest != base.digest:
        raise ModelError(
            f"{base.spec} has changed since {model.spec} was trained on its {base.site} (digest "
            f"{below.digest[:8]}, then {base.digest[:8]}); extract it and train again"
        )
    (site,) = below.select([base.site])
    network: Any = model.module
    mean, std = torch.tensor(base.mean), torch.tensor(base.std)
    module = OnSite(below.module, site, network, mean, std).eval().requires_grad_(False)
    module.to(below.device, next(below.module.parameters()).dtype)
    digest = xxhash.xxh3_128_hexdigest(f"{model.digest} {base}".encode())
    names = [f"layers.{i}" for i in range(len(config.modules))] + list(model.names)
    placed = {PREFIX + name: PREFIX + name for name in names}
    feed = OnSiteFeed(below, site, config)
    return LoadedModel(model.spec, module, feed, digest, below.device, names=placed)


@final
class OnSiteFeed(Feed):
    """Gives a model what its own feed does; only samples of as many positions share a batch.

    So convolutions never see padding that a sample alone would not have.
    """

    def __init__(self, below: LoadedModel, site: Site, config: SimConfig):
        super().__init__()
        self._below, self._site = below.feed, site
        self._waves = WaveFeed(config, Scaling())
        self.modality, self.max_length = below.feed.modality, below.feed.max_length
        self.at_once, self.notes = below.feed.at_once, below.feed.notes

    @property
    def words(self) -> bool:
        """Whether positions have character spans."""
        return self._below.words

    def token_name(self, token_id: int) -> str | None:
        """Return what a token without a span is called."""
        return self._below.token_name(token_id)

    def example(self) -> Batch:
        """Return the example of the model below."""
        return self._below.example()

    def encode(
        self, dataset: Dataset, samples: Sequence[int], *, site: Site, max_length: int,
        on_long: Any = "truncate",
    ) -> list[Encoded]:  # fmt: skip
        """Read samples as the model below does; see `Feed.encode`."""
        own = site.path.startswith(PREFIX)
        asked = replace(site, path=site.path.removeprefix("base."))
        read = self._site if own or site.whole else asked
        encoded = self._below.encode(
            dataset, samples, site=read, max_length=max_length, on_long=on_long
        )
        made = [self._frames(one, site, dataset.name) if own else one for one in encoded]
        grouped = [
            replace(new, inputs=one, group=(len(one), one.group or 0))
            for new, one in zip(made, encoded, strict=True)
        ]
        return [one.as_one() for one in grouped] if site.whole else grouped

    def _frames(self, one: Encoded, site: Site, dataset: str) -> Encoded:
        """Give a sample the positions of a site of the encoder."""
        geometry = self._waves.geometry(replace(site, path=site.path.removeprefix(PREFIX)))
        count = geometry.frames(len(one))
        if count < 1:
            raise DatasetError(
                f"{dataset}: sample {one.sample} ({one.text[:30]!r}) has {len(one)} positions, too "
                f"few for a frame of {site.name}; leave it out"
            )
        edges = np.array(geometry.edges(count, len(one)))
        first = np.minimum(edges[:-1], len(one) - 1)
        last = np.maximum(edges[1:], first + 1)
        places = list(zip(first.tolist(), last.tolist(), strict=True))
        spans = [_span(one, a, b) for a, b in places]
        return replace(
            one,
            starts=np.array([start for start, _ in spans]),
            ends=np.array([end for _, end in spans]),
            special=np.array([one.special[a:b].all() for a, b in places]),
            read=None,
            decoded=None,
            names=[_name(one, a, b, span) for (a, b), span in zip(places, spans, strict=True)],
        )

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """Make the batch of the model below; refuse one that pads samples of one length."""
        below = [one.inputs for one in encoded]
        batch = self._below.collate(below)
        if batch.shape[1] != len(below[0]):
            raise DatasetError(
                f"{below[0].text[:30]!r} has {len(below[0])} positions and is given to the model "
                f"as {batch.shape[1]}; an encoder on top of a site cannot tell padding from it"
            )
        return replace(batch, shape=(len(encoded), max(map(len, encoded))))


def _span(one: Encoded, first: int, last: int) -> tuple[int, int]:
    """Return from where to where positions reach that are a part of the sample."""
    there = one.starts[first:last] > NOWHERE
    if not there.any():
        return NOWHERE, NOWHERE
    return int(one.starts[first:last][there].min()), int(one.ends[first:last][there].max())


def _name(one: Encoded, first: int, last: int, span: tuple[int, int]) -> str | None:
    if one.read is not None:  # tokens of a text
        return one.text[span[0] : span[1]] if span[0] > NOWHERE else None
    names = list(one.names or [None] * len(one))[first:last]
    there = [name for name in names if name is not None]
    return there[0] if len(there) < 2 else f"{there[0]} … {there[-1]}" if there else None
