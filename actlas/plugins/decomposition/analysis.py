"""The analysis `decomposition`: every state as an exact sum of terms, and what they are of it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from actlas import InputError, LackingError, Layers, LoadedModel, Result, analysis, tell

from . import figures
from .blocks import bind_blocks
from .bound import PRECISION, Bound, Precision, bind
from .check import TOLERANCE, check
from .indicators import Floats, Gathered, indicators, row_errors
from .inputs import embedded, with_inputs
from .norms import Norm, Statistics
from .parts import parts
from .rows import head_rows, indicator_rows, sentence_columns, share_rows, token_columns
from .states import Differences, Stored, refuse_lacking, rounding, side_of, spans
from .tables import HeadShare, Indicator, Sentence, Share, Summary, Token
from .terms import Depth, Seen, States, running

if TYPE_CHECKING:
    import torch

Method = Literal["modules", "blocks"]
Convention = Literal["raw", "normed", "cached"]
RULES = {
    "modules": "output and value biases, norm shifts and means in the correction; inner "
    "feed-forward biases in feed_forward",
    "blocks": "differences of the residual stream; the final norm's shift in the correction",
}


@dataclass(frozen=True)
class Settings:
    """What a decomposition is asked for; see `decomposition`."""

    method: Method
    convention: Convention
    by: str
    detail: str
    only: str | None


@dataclass
class Found:
    """What was gathered over the rows."""

    terms: Gathered[str]
    shares: Gathered[tuple[int, str]]
    heads: Gathered[tuple[int, str]]
    errors: list[Floats]


def opened(
    model: LoadedModel, layers: Layers, method: Method, precision: Precision = "auto"
) -> tuple[Bound, float]:
    """Bind a model to an extraction and check it; return also the error of the check."""
    side = side_of(layers)
    if method == "blocks":
        return bind_blocks(model, side, precision), 0.0
    bound = bind(model, side, precision)
    return bound, check(model, bound)


def states_of(layers: Layers, bound: Bound, span: tuple[int, int]) -> States:
    """Return the states of some rows."""
    stored = Stored(layers, *span, bound.device)
    return Differences(stored, bound) if bound.stack.blocks == "" else stored


def as_read(
    depth: Depth, norm: Norm | None, convention: Convention, last: Statistics | None
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return terms and state as the convention has them between blocks.

    raw: as they stand. normed: as the final norm would take them, with the state's own statistics
    (cached: with the scale of the last state).
    """
    if convention == "raw" or norm is None:
        return depth.terms, depth.state
    found = norm.statistics(depth.state)
    if last is not None:
        found = Statistics(found.mean, last.scale)
    factor = norm.factor(found)
    shift = norm.shift(found, factor)
    terms, state = depth.terms * factor, depth.state * factor
    if shift is not None:
        terms[-1] += shift
        state += shift
    return terms, state


def gather(layers: Layers, bound: Bound, settings: Settings, model: LoadedModel) -> Found:
    """Read the rows block by block, and gather their indicators."""
    keep = settings.detail != "none"
    found = Found(Gathered(keep), Gathered(), Gathered(), [])
    wanted = _wanted(bound, settings.only)
    every = spans(layers)
    for span in every:
        tell(f"rows to {span[1]:,} of {every[-1][1]:,}")
        states = states_of(layers, bound, span)
        if len(bound.inputs) > 1:
            states = embedded(states, layers, bound, model, span, rounding(layers))
        _block(bound, states, settings, wanted, found)
    return found


def _wanted(bound: Bound, only: str | None) -> tuple[str, ...]:
    if only is None:
        return bound.depths
    named = [name.strip() for name in only.split(",")]
    for name in named:
        if name not in bound.depths:
            raise InputError(
                f"decomposition: only={name!r} is no depth; there is {', '.join(bound.depths)}"
            )
    return tuple(name for name in bound.depths if name in named)


def _block(
    bound: Bound, states: States, settings: Settings,
    wanted: tuple[str, ...], found: Found,
) -> None:  # fmt: skip
    seen, norm = Seen(), bound.final_norm
    cached = None
    if settings.convention == "cached" and norm is not None:
        cached = norm.statistics(states[bound.depths[bound.layers]].to(bound.dtype))
    for depth in running(bound, states, seen):
        found.errors.append(row_errors(depth.terms, depth.state))
        if depth.site not in wanted:
            continue
        inside = depth.layer <= bound.layers
        terms, state = as_read(depth, norm if inside else None, settings.convention, cached)
        found.terms.add(depth.site, indicators(terms, state))
    if settings.by == "terms":
        return
    last = states[wanted[-1]].to(bound.dtype)
    for part in parts(bound, states, seen, wanted[-1], heads=settings.by == "heads"):
        found.shares.add((part.layer, part.term), indicators(part.vector[None], last))
        if part.heads is not None:
            found.heads.add((part.layer, part.term), indicators(part.heads, last))


@analysis(
    version=1,
    tables={
        "summary": Summary,
        "indicators": Indicator,
        "branches": Share,
        "heads": HeadShare,
        "samples": Sentence,
        "tokens": Token,
    },
    figures=figures.DECOMPOSITION,
)
def decomposition(
    layers: Layers,
    model: LoadedModel,
    *,
    method: Annotated[
        Method, "modules: by sub-layer; blocks: what each block adds, for any pre-norm stack"
    ] = "modules",
    by: Annotated[
        Literal["terms", "branches", "heads"],
        "branches: also block by block, at the deepest state; heads: and head by head",
    ] = "terms",
    detail: Annotated[
        Literal["none", "samples", "tokens"], "also the indicators of every sample, or every row"
    ] = "none",
    convention: Annotated[
        Convention,
        "pre-norm states between blocks: as they stand, as the final norm would take them, or "
        "with its scale at the last state",
    ] = "raw",
    only: Annotated[str | None, "depths, parted by commas (layers.5,final); none: all"] = None,
    special: Annotated[bool, "count tokens that the tokenizer adds"] = True,
    split_input: Annotated[bool, "word, position and type as terms of their own"] = False,
    precision: Annotated[Precision, PRECISION] = "auto",
) -> Result:
    """Every state as an exact sum of input, attention, feed-forward and correction terms.

    Mickus & Vázquez 2023 (arXiv 2310.06977): e = input + attention (+ cross-attention) +
    feed-forward + correction, at every depth; norms multiply each term by what the full state
    says, so nothing is left over. The correction holds output and value biases, norm means and
    shifts. Four indicators say what a term is of the state: relative dot product (sums to 1),
    cosine, norm ratio and distance. Reads the sites of the preset `decomposition`
    (`actlas extract … --sites decomposition`; by heads also `layers.*.heads`) with one row a
    token; the model is loaded for its parameters and checked on a short example, not run again.
    The greatest relative error of the sums stands in `summary`; beyond the tolerance of the
    stored dtype (float32 1e-4, float16 5e-3, bfloat16 3e-2) nothing is given. Values belong to
    one model: they are not on one scale with those of another.
    """
    settings = Settings(method, convention, by, detail, only)
    layers = layers if special else _without_special(layers)
    bound, model_error = opened(model, layers, method, precision)
    bound = with_inputs(bound) if split_input else bound
    _refuse(layers, bound, settings, model.spec)
    found = gather(layers, bound, settings, model)
    stored = rounding(layers)
    errors = np.concatenate(found.errors)
    refuse_inexact(float(errors.max()), stored, bound, model.spec)
    site = _wanted(bound, only)[-1]
    return Result(
        {
            "indicators": indicator_rows(found.terms, bound.depths, bound.terms),
            "summary": _summary(bound, layers, settings, stored, errors, model_error),
            "branches": share_rows(found.shares, site),
            "heads": head_rows(found.heads, site),
            "samples": sentence_columns(found.terms, bound, layers) if detail == "samples" else [],
            "tokens": token_columns(found.terms, bound, layers) if detail == "tokens" else [],
        }
    )


def _without_special(layers: Layers) -> Layers:
    keep = ~layers[0].rows.special
    if not keep.any():
        raise InputError("decomposition: every row is a special token; leave special on")
    return replace(layers, sites=tuple(acts.take(keep) for acts in layers))


def _refuse(layers: Layers, bound: Bound, settings: Settings, spec: str) -> None:
    preset, heads = f"{bound.prefix}decomposition", settings.by == "heads"
    if settings.method == "blocks":
        if heads:
            raise InputError("decomposition: --method blocks knows no heads; use --by branches")
        return refuse_lacking(layers, bound.depths, preset, spec)
    if heads:
        named = (branch.heads_site.split(".") for branch in bound.branches if branch.heads)
        ends = {".".join(name[name.index("layers") + 2 :]) for name in named}
        preset += "".join(f",{bound.prefix}layers.*.{end}" for end in sorted(ends))
    return refuse_lacking(layers, bound.sites(heads=heads), preset, spec)


def refuse_inexact(error: float, stored: str, bound: Bound, spec: str) -> None:
    """Raise LackingError where terms miss the states they should sum to, NaN included."""
    if not error <= TOLERANCE[stored]:
        raise LackingError(
            f"decomposition: the terms do not sum to the stored states (relative error "
            f"{error:.1e}, at most {TOLERANCE[stored]:.0e} for {stored}); to store one row a token "
            f"in float32 (or float16, bfloat16)",
            spec, f"--pooling token --sites '{bound.prefix}decomposition' --dtype float32",
        )  # fmt: skip


def _summary(
    bound: Bound,
    layers: Layers,
    settings: Settings,
    stored: str,
    errors: Floats,
    checked: float,
) -> Summary:
    return Summary(
        architecture=bound.architecture,
        stack=bound.side,
        method=settings.method,
        convention="raw" if bound.final_norm is None else settings.convention,
        precision=str(bound.dtype).removeprefix("torch."),
        stored=stored,
        max_relative_error=float(errors.max()),
        mean_relative_error=float(errors.mean()),
        tolerance=TOLERANCE[stored],
        model_error=checked,
        rows=len(layers[0]),
        samples=len(np.unique(layers[0].rows.sample)),
        terms=len(bound.terms),
        layers=bound.layers,
        width=layers[0].width,
        rule=RULES[settings.method],
    )
