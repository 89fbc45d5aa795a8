"""Extractions made by hand: no model, tiny matrices whose numbers are known beforehand."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..api.tops import Tops
from ..core import Dataset, ExtractOptions, Rows, Site, Window
from ..storage import (
    Database,
    Extraction,
    Model,
    Place,
    Shard,
    add_dataset,
    begin_extraction,
    claim,
    extraction_key,
    finish_shard,
    held,
    missing_parts,
    options_json,
    owner_name,
    pack_window,
    shards_of,
    smaller_extraction,
    write_window,
)

SITES: Mapping[str, int] = {"embed": 3, "layers.0": 5, "final": 1}
WINDOW_SAMPLES = 2


def rows_of(sample: int) -> int:
    """How many rows a sample has: none, one or more."""
    return sample * 7 % 5


def numbers(site: str, width: int, samples: Sequence[int]) -> NDArray[np.float32]:
    """The matrix (rows, width) of some samples at a site, before it is cast for storage."""
    seed = zlib.crc32(site.encode())
    parts = [np.random.default_rng([seed, s]).normal(size=(rows_of(s), width)) for s in samples]
    return np.concatenate([np.empty((0, width)), *parts]).astype(np.float32)


def dataset(samples: int) -> Dataset:
    """So many texts; each is the same whatever their number."""
    return Dataset("handmade", [f"sample {i} has {rows_of(i)} rows" for i in range(samples)])


def provenance(samples: Sequence[int]) -> Rows:
    """The rows of some samples."""
    counts = [rows_of(s) for s in samples]
    sample = np.repeat(np.array(samples, np.int64), counts)
    position = np.concatenate([np.empty(0, np.int64), *map(np.arange, counts)])
    token = [f"t{s}.{p}" for s, p in zip(sample.tolist(), position.tolist(), strict=True)]
    return Rows.build(sample, position, token, start=position, end=position + 1)


def window(first: int, stop: int, sites: Mapping[str, int], dtype: str) -> Window:
    """The window of samples [first, stop) as an extractor would give it."""
    import torch

    kind = torch.float32 if dtype == "int8" else getattr(torch, dtype)
    samples = range(first, stop)
    data = {n: torch.from_numpy(numbers(n, w, samples)).to(kind) for n, w in sites.items()}
    none = dict.fromkeys(sites, 0)
    return Window(first, stop, provenance(samples), data, none, dict(none))


def _model(database: Database) -> Model:
    for known in database.records("models"):
        if known.spec == "handmade":
            return database.find(Model, known.id)
    with database.write("models") as session:
        added = Model(
            spec="handmade", digest="0" * 32, architecture="none", parameters=0, max_length=8,
            config={}, sites=None,
        )  # fmt: skip
        session.add(added)
        return added


def begin(
    database: Database,
    samples: int,
    sites: Mapping[str, int] = SITES,
    *,
    dtype: str = "float32",
    shards: int | None = None,
) -> Extraction:
    """Record an extraction of hand-made numbers, or find it; a data set that has grown shares."""
    model, texts = _model(database), dataset(samples)
    data, options = add_dataset(database, texts), ExtractOptions(dtype=dtype)
    wanted = Extraction(
        key=extraction_key(model, data, options, "float32", ""), model_id=model.id,
        dataset_id=data.id, pooling=options.pooling, dtype=dtype,
        options=options_json(options, {"compute_dtype": "float32", "stack": ""}), versions={},
        device="cpu", seconds=0.0,
    )  # fmt: skip
    extraction, _ = begin_extraction(
        database, wanted, [Site(n, "", w) for n, w in sites.items()], list(SITES),
        samples=samples, shards=shards,
        smaller=lambda session: smaller_extraction(
            session, data, texts.prefix_digest,
            lambda other: extraction_key(model, other, options, "float32", ""),
        ),
    )  # fmt: skip
    return extraction


def write_shard(
    database: Database,
    extraction: Extraction,
    shard: Shard,
    owner: str,
    sites: Mapping[str, int] = SITES,
    *,
    windows: int | None = None,
) -> bool:
    """Write the next windows of a shard (default: all); whether it then lacks nothing.

    The shard must have been claimed by `owner`.
    """
    todo = missing_parts(database, extraction.id, shard.shard, list(sites))
    if not todo:
        return True
    place, tops = Place(extraction, shard.shard, owner), Tops(database, todo)
    wanted = {a.site: a.width for a, _ in todo}
    first = min(part.samples_done for _, part in todo)
    starts = range(first, shard.stop_sample, WINDOW_SAMPLES)
    for start in starts[:windows]:
        stop = min(start + WINDOW_SAMPLES, shard.stop_sample)
        one = window(start, stop, wanted, extraction.dtype)
        packed = pack_window(one, extraction.dtype)
        write_window(database, place, one, packed, 0.0)
        tops.update(one, packed)
    if windows is not None and windows < len(starts):
        return False
    finish_shard(database, place, tops.packed(shard.stop_sample))
    return True


def extract(
    database: Database,
    samples: int,
    sites: Mapping[str, int] = SITES,
    *,
    dtype: str = "float32",
    shards: int | None = None,
) -> Extraction:
    """Make a whole extraction of hand-made numbers."""
    extraction, owner = begin(database, samples, sites, dtype=dtype, shards=shards), owner_name()
    for shard in shards_of(database, extraction.id):
        claim(database, extraction.id, shard.shard, owner)
        with held(database, extraction.id, shard.shard, owner):
            write_shard(database, extraction, shard, owner, sites)
    return database.find(Extraction, extraction.id)
