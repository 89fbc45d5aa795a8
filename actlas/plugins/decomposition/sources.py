"""Attention by source position: what each of the positions that are read gives."""

from typing import TYPE_CHECKING

from .bound import Branch, Heads

if TYPE_CHECKING:
    import torch


def reads(branch: Branch, stream: "torch.Tensor", memory: "torch.Tensor | None") -> "torch.Tensor":
    """Return what the values of a branch are made of (…, width read).

    stream: the full state that enters it (in parallel blocks, the block). memory: the encoder's
    last state, which cross-attention reads.
    """
    if branch.kind == "cross_attention":
        assert memory is not None
        return memory
    return stream if branch.pre_norm is None else branch.pre_norm.apply(stream)


def by_source(heads: Heads, weights: "torch.Tensor", read: "torch.Tensor") -> "torch.Tensor":
    """Return what each query gets of each source (queries, sources, width), biases left out.

    weights: attention (heads, queries, sources). read: (sources, width read), see `reads`.
    The sum over heads of A W_O W_V u: the sum over sources is the main part of the branch.
    """
    import torch

    values = read @ heads.value.transpose(1, 2) @ heads.output  # (heads, sources, width)
    return torch.einsum("hqs,hsd->qsd", weights, values)
