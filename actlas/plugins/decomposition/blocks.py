"""The fallback where nothing is known of an architecture: what each block adds to the stream.

Exact for any pre-norm stack, since its stream is only added to; it says nothing of attention and
feed-forward apart.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from actlas import InputError, LoadedModel

from .bound import Bound, Branch, Precision, refuse, summed_in
from .check import TOLERANCE, relative_error
from .layouts import Head, Stack, SubLayer
from .norms import Norm, bind_norm

if TYPE_CHECKING:
    import torch


def bind_blocks(model: LoadedModel, side: str = "", precision: Precision = "auto") -> Bound:
    """Make a stack of which only the residual stream and the final norm are known.

    Raises InputError where there is no final norm: the stream is then normed inside the blocks
    (or never), and its differences are no terms of it.
    """
    refuse(model)
    prefix = f"{side}." if side else ""
    names = [name for name in model.sites if name.startswith(f"{prefix}layers.")]
    count = sum(model.sites[name].residual for name in names)
    if not count or f"{prefix}final" not in model.sites:
        raise InputError(
            f"decomposition: {model.spec} has no norm after its last block, so its stream is not a "
            f"sum of what blocks add; --method blocks is for pre-norm stacks"
        )
    dtype = summed_in(model, precision)
    kind = str(getattr(model.config, "model_type", type(model.module).__name__))
    spec = SubLayer("blocks", "")
    branches = tuple(
        Branch(
            f"{prefix}layers.{i}.block",
            i + 1,
            "blocks",
            None,
            1.0,
            None,
            None,
            None,
            None,
            spec,
            "",
        )
        for i in range(count)
    )
    return Bound(
        kind, side, f"{prefix}embed", None, branches, _final_norm(model, f"{prefix}final", dtype),
        count, Stack("", (spec,)), Head(), dtype, model.device,
    )  # fmt: skip


def _final_norm(model: LoadedModel, name: str, dtype: "torch.dtype") -> Norm:
    """Bind the final norm; whether its gain is stored as it is or less one, the model says."""
    site = model.sites[name]
    batch = model.feed.example()
    given = model.capture(batch, [replace(site, name="before", port="input"), site])
    before, after = given["before"].to(dtype), given[name].to(dtype)
    for offset in (0.0, 1.0):
        norm = bind_norm(model.module, site.path, offset, dtype)
        if relative_error(norm.apply(before), after) <= TOLERANCE[model.dtype]:
            return norm
    raise InputError(
        f"decomposition: the final norm of {model.spec} ({type(model.module.get_submodule(site.path)).__name__}) "  # noqa: E501
        f"is neither a LayerNorm nor an RMSNorm; name one of the architectures that are known"
    )
