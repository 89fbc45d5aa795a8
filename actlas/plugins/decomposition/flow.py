"""The analysis `decomposition_sources`: what each position that is read gives to each state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from actlas import InputError, Layers, LoadedModel, Result, Samples, analysis, tell

from . import figures
from .bound import Bound, Branch, bind
from .check import check
from .indicators import NAMES, indicators
from .sources import by_source, reads
from .states import side_of
from .terms import Running, Seen

if TYPE_CHECKING:
    import torch

QUERIES = 64  # at once: of each the vectors of all sources are held


@dataclass(frozen=True)
class Source:
    """What one position gave to another in one attention."""

    sample: Annotated[int, "sample of the data set"]
    layer: Annotated[int, "as depth: 1 is layers.0"]
    term: Annotated[str, "attention or cross_attention"]
    query: Annotated[int, "position that attends"]
    query_token: Annotated[str | None, "its token"]
    source: Annotated[int, "position that is read; of the encoder in cross_attention"]
    source_token: Annotated[str | None, "its token"]
    relative_dot: Annotated[float | None, "⟨x, h⟩ / ‖h‖²; sums to 1 over the sources"]
    cosine: Annotated[float | None, "cosine with h; null for zeros"]
    norm_ratio: Annotated[float | None, "‖x‖ / ‖h‖"]
    distance: Annotated[float | None, "‖x − h‖"]
    attention: Annotated[float, "attention weight, mean over the heads"]


@analysis(version=1, tables={"sources": Source}, figures=figures.SOURCES)
def decomposition_sources(
    layers: Layers,
    model: LoadedModel,
    samples: Samples,
    *,
    sample: Annotated[int, "the sample that is run"] = 0,
    layer: Annotated[int | None, "one block, counted from 0; none: all"] = None,
) -> Result:
    """What each position gives to the attention of every other, by block.

    With attention A, values V and output O of head h, position s gives h_ts = Σ_h A_ts W_O W_V u_s
    to position t (arXiv 2310.06977, after Mickus et al. 2022); biases are no position's. The sum
    over s is the main part h of the branch. The model is run on one sample with attention by
    matrices, as fused kernels give no weights; what was set is put back. Rows are not read, so an
    extraction may hold words. Indicators are of each term in that sum.
    """
    side = side_of(layers)
    bound = bind(model, side)
    check(model, bound)
    if not 0 <= sample < len(samples):
        raise InputError(
            f"decomposition_sources: sample={sample} is not among 0 … {len(samples) - 1}"
        )
    if layer is not None and not 0 <= layer < bound.layers:
        raise InputError(
            f"decomposition_sources: layer={layer} is not among 0 … {bound.layers - 1}"
        )
    columns: dict[str, list[Any]] = {name: [] for name in Source.__dataclass_fields__}
    for given in _given(model, bound, samples, sample):
        if layer is None or given.branch.layer == layer + 1:
            tell(given.branch.name)
            _fill(columns, given, sample)
    return Result({"sources": columns})


@dataclass(frozen=True, eq=False)
class _Given:
    """One attention: weights (heads, queries, sources), what is read, what the branch gives."""

    branch: Branch
    weights: "torch.Tensor"
    read: "torch.Tensor"
    main: "torch.Tensor"
    queries: list[str | None]
    sources: list[str | None]


def _given(model: LoadedModel, bound: Bound, samples: Samples, sample: int) -> "list[_Given]":
    """Run a sample and follow its stream through the blocks."""
    sites = [model.sites[name] for name in bound.sites()]
    (one,) = samples.encoded(model, sites[0], [sample])
    batch = model.feed.collate([one])
    states = {name: t[0] for name, t in model.capture(batch, sites).items()}
    weights = model.attentions(batch)
    memory, read = None, one.read
    if bound.side == "decoder":
        last = [site for site in model.sites.values() if site.stack == "encoder"][-1]
        (encoded,) = samples.encoded(model, last, [sample])
        read = encoded.read
        memory = model.capture(model.feed.collate([encoded]), [last])[last.name][0].to(bound.dtype)
    names = {"attention": _names(model, one.read), "cross_attention": _names(model, read)}
    found, run = [], Running(bound, states, Seen())
    if bound.embed_norm is not None:
        run.norm(bound.embed_norm)
    for number in range(1, bound.layers + 1):
        entered = run.stream
        for branch in bound.of_layer(number):
            stream = entered if bound.stack.parallel else run.stream
            if branch.heads is not None:
                found.append(
                    _Given(
                        branch, weights[branch.name][0].to(bound.dtype),
                        reads(branch, stream, memory), _main(branch, states),
                        names["attention"], names[branch.kind],
                    )
                )  # fmt: skip
            run.add(branch)
            if branch.post_norm is not None:
                run.norm(branch.post_norm)
        run.depth(bound.depths[number], number)
    return found


def _main(branch: Branch, states: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
    """Return what a branch's last projection gives without its constant part (n, width)."""
    given = states[branch.site]
    return given if branch.bias is None else given.to(branch.bias.dtype) - branch.bias


def _names(model: LoadedModel, ids: Any) -> list[str | None]:
    if ids is None:
        return []
    return [None if model.tokenizer is None else model.feed.token_name(int(i)) for i in ids]


def _fill(columns: dict[str, list[Any]], given: _Given, sample: int) -> None:
    assert given.branch.heads is not None
    heads, queries, sources = given.weights.shape
    for start in range(0, queries, QUERIES):
        weights = given.weights[:, start : start + QUERIES]
        vectors = by_source(given.branch.heads, weights, given.read)  # (queries, sources, width)
        main = given.main[start : start + QUERIES]
        found = indicators(vectors.transpose(0, 1), main).transpose(
            0, 2, 1
        )  # (4, queries, sources)
        count = vectors.shape[0]
        query, source = np.divmod(np.arange(count * sources), sources)
        rows = {
            "sample": [sample] * len(query),
            "layer": [given.branch.layer] * len(query),
            "term": [given.branch.kind] * len(query),
            "query": (query + start).tolist(),
            "query_token": [given.queries[q + start] for q in query],
            "source": source.tolist(),
            "source_token": [given.sources[s] for s in source],
            "attention": (weights.sum(0) / heads).double().cpu().numpy().reshape(-1).tolist(),
        }
        named = zip(NAMES, found, strict=True)
        for name, values in (*rows.items(), *((n, v.reshape(-1).tolist()) for n, v in named)):
            columns[name] += values
