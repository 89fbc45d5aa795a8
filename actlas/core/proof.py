"""The proof of an extraction: its rows are what the model computes for each sample alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .datasets import Dataset
from .errors import ProofError
from .extraction import ExtractOptions, Extractor, Window
from .models import LoadedModel
from .sites import Site

if TYPE_CHECKING:
    import torch

    from .tokens import Pooled

SINGLE = "single forward"
HIDDEN = "hidden states"


@dataclass(frozen=True)
class Proof:
    """How far a site's rows are from the model's own output.

    difference: the greatest |a − b| / max(|b|, s) over all numbers that were compared, a as
        stored, b as computed for the sample alone, and s the mean of |b| over the site's
        compared rows; so a unit with large values counts relative to itself, and any other
        relative to the site. Infinite where only one of the two is a number.
    tolerance: what rounding explains (see `tolerance`).
    against: what was compared: "single forward" (the sample alone, neither batched nor padded),
        and "hidden states" where transformers gives what this site should be. Where one of
        several comparisons fails, it is the one named.
    """

    site: str
    difference: float
    tolerance: float
    against: str

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


def prove(
    extractor: Extractor, window: Window, added: Mapping[str, float] | None = None
) -> list[Proof]:
    """Compare rows about to be stored with the model's own output, or raise ProofError.

    window: one from this extractor; its witnesses (see `witnesses`) are compared.
    added: per site the greatest error that storage itself adds (int8), measured as the
        `difference` of a Proof is; it widens the tolerance.

    Costs three forward passes of one short sample each.
    """
    proofs = measure(extractor, window, added)
    for proof in proofs:
        if not proof.holds:
            raise ProofError(_refusal(extractor, proof))
    return proofs


def measure(
    extractor: Extractor, window: Window, added: Mapping[str, float] | None = None
) -> list[Proof]:
    """Return a proof for every site of a window, whether it holds or not."""
    model = extractor.model
    ends = _stream(extractor)[-2:]  # the last hidden state is one of the two
    wanted = {site.name: site for site in extractor.sites}
    more = [site for site in ends if {s.name for s in ends} & set(wanted)]
    sites = list((wanted | {site.name: wanted.get(site.name, site) for site in more}).values())
    alone = [extractor.capture([one.encoded], sites) for one in window.witnesses]
    batched, single = _rows(extractor, window, alone)
    own = _hidden(extractor, window.witnesses[-1], alone[-1]) if alone else {}
    proofs = []
    for name, site in wanted.items():
        bound = tolerance(model, site, extractor.options.dtype) + (added or {}).get(name, 0.0)
        found = Proof(name, difference(batched[name], single[name]), bound, SINGLE)
        if name in own:
            exact = Proof(name, difference(*own[name]), _again(model.dtype), HIDDEN)
            found = _both(found, exact)
        proofs.append(found)
    return proofs


def _stream(extractor: Extractor) -> list[Site]:
    """The residual stream of the stack that is extracted, in order."""
    every = extractor.model.sites.values()
    return [site for site in every if site.residual and site.stack == extractor.side]


def _both(one: Proof, two: Proof) -> Proof:
    """Return the comparison that failed, or where both hold the first, naming both."""
    if one.holds and two.holds:
        return replace(one, against=f"{one.against}, {two.against}")
    return two if not two.holds else one


def check_sites(
    model: LoadedModel, dataset: Dataset, sites: Sequence[Site] | None = None
) -> list[Proof]:
    """Prove sites (default: all that are named) on the first texts of a data set.

    The texts go through the model as in an extraction with pooling by token in float32.
    Encoder and decoder are proven one after the other.
    """
    chosen = list(model.sites.values()) if sites is None else list(sites)
    found = []
    for side in dict.fromkeys(site.stack for site in chosen):
        part = [site for site in chosen if site.stack == side]
        run = Extractor(model, dataset, part, ExtractOptions(dtype="float32", batch_tokens=512))
        found += measure(run, next(run.windows()))
    order = {site.name: place for place, site in enumerate(chosen)}
    return sorted(found, key=lambda proof: order[proof.site])


def tolerance(model: LoadedModel, site: Site, dtype: str) -> float:
    """Return the difference that rounding explains, for a storage dtype.

    A batch and a single sample run through kernels that sum in another order. Each block
    rounds about ten times on the way to its output, errors of different roundings are
    independent, so they grow with the root of their number: σ ≈ u·√(10·(depth + 1)), with u
    the unit roundoff of the compute dtype (half its epsilon). Sums run in float32 at least:
    one of `width` terms adds about √width roundings of float32. The greatest of some ten
    thousand numbers lies near 4 σ, and 16 σ leaves room for models that amplify it (measured:
    2.2 σ over 6 layers of width 384 in float32, 1.7 σ over 12 of width 768 in bfloat16, up to
    7 σ in T5 with wild weights, whose attention is not scaled). bfloat16 is allowed 8 σ, as 16
    would be near the difference of two unlike rows. To it comes what the cast to a coarser storage
    dtype can add: numbers that differ by next to nothing may be rounded to neighbours, one
    epsilon apart.

    A wrong layer, row or mask gives differences near 1, thousands of times the tolerance of
    float32. That of bfloat16 is 0.2 to 0.4, so a weak leak of padding may hide in it, but no
    wrong layer: hidden states are compared with no such room.
    """
    import torch

    compute = _compute_epsilon(model)
    single = torch.finfo(torch.float32).eps
    roundoff = max(compute, single * site.width**0.5) / 2
    depth = sum(1 for one in model.sites.values() if one.residual and one.stack == site.stack)
    kind = getattr(torch, dtype)
    stored = torch.finfo(kind).eps if kind.is_floating_point else 0.0
    sigmas = 8 if compute > 2.0**-10 else 16
    added = stored if stored > compute else 0.0
    return float(sigmas * roundoff * (10 * (depth + 1)) ** 0.5 + added)


def _compute_epsilon(model: LoadedModel) -> float:
    """Epsilon of the forward pass: on NVIDIA's GPUs float32 may stand for TensorFloat-32."""
    import torch

    epsilon = float(torch.finfo(getattr(torch, model.dtype)).eps)
    convolves = any(
        isinstance(sub, torch.nn.Conv1d | torch.nn.Conv2d) for sub in model.module.modules()
    )
    shortened = torch.backends.cuda.matmul.allow_tf32 or (
        convolves and torch.backends.cudnn.allow_tf32
    )
    on_gpu = str(model.device).startswith("cuda")
    return max(epsilon, 2.0**-10) if on_gpu and shortened else epsilon


def _again(dtype: str) -> float:
    """Return the tolerance for the same computation done twice: a few roundings.

    On a CPU it gives the same bits; kernels of a GPU may sum in another order each time.
    """
    import torch

    return float(8 * torch.finfo(getattr(torch, dtype)).eps)


def difference(stored: "torch.Tensor", own: "torch.Tensor") -> float:
    """Return the greatest |a − b| / max(|b|, mean |b|); both (rows, width), a as stored.

    b is cast to the dtype of a first. Infinity and NaN agree only with themselves, and numbers
    one step of the dtype's smallest apart count as equal.
    """
    import torch

    if stored.shape != own.shape:
        return float("inf")
    if not own.numel():
        return 0.0
    step = torch.finfo(stored.dtype).smallest_normal * torch.finfo(stored.dtype).eps
    a, b = stored.double(), own.to(stored.dtype).double()
    same = (a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= step)
    sizes = b.abs()
    finite = sizes[sizes.isfinite()]
    scale = finite.mean() if len(finite) else torch.zeros((), dtype=torch.float64)
    relative = (a - b).abs() / torch.maximum(sizes, scale)
    return float(relative.nan_to_num(torch.inf, torch.inf).where(~same, 0.0).max())


def _rows(
    extractor: Extractor, window: Window, alone: "list[dict[str, torch.Tensor]]"
) -> "tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]":
    """Per site the witnesses' rows, as they are about to be stored and from each alone."""
    import torch

    pooling = extractor.options.pooling
    together = _padded(extractor, window)
    batched, single = {}, {}
    for name in (site.name for site in extractor.sites):
        own = [
            _pooled(tensors[name][0], one, pooling)
            for tensors, one in zip(alone, window.witnesses, strict=True)
        ]
        here = [
            window.data[name][torch.from_numpy(window.rows.sample == one.encoded.sample)]
            for one in window.witnesses
        ]
        if together:
            short = _pooled(together[name], window.witnesses[0], pooling)
            here.append(short.to(here[0].dtype))
            own.append(own[0])
        nothing = [torch.empty(0, 0)]
        batched[name], single[name] = torch.cat(here or nothing), torch.cat(own or nothing)
    return batched, single


def _padded(extractor: Extractor, window: Window) -> "dict[str, torch.Tensor]":
    """Read the shorter witness (length, width) beside the longer, where no batch had padding.

    A later batch may have some; but not where no two samples fit into one.
    """
    if window.padded or len(window.witnesses) < 2:
        return {}
    one, two = (witness.encoded for witness in window.witnesses)
    if len(one) == len(two) or 2 * len(two) > extractor.options.batch_tokens:
        return {}
    both = extractor.capture([one, two])
    return {name: tensor[0, : len(one.read)] for name, tensor in both.items()}


def _pooled(tensor: "torch.Tensor", one: "Pooled", pooling: str) -> "torch.Tensor":
    """Pool one sample (length, width) without the code that pools batches."""
    import torch

    tensor = tensor.cpu()
    if pooling == "token":
        return tensor
    if pooling == "mean":
        return tensor.float().mean(0, keepdim=True)
    if pooling in ("first", "last"):
        return tensor[:1] if pooling == "first" else tensor[-1:]
    parts = np.split(one.positions, np.cumsum(one.lengths)[:-1])
    return torch.stack([tensor[torch.from_numpy(part)].float().mean(0) for part in parts])


def _hidden(
    extractor: Extractor, one: "Pooled", read: "dict[str, torch.Tensor]"
) -> "dict[str, tuple[torch.Tensor, torch.Tensor]]":
    """Per site what hooks read of a sample, and the hidden state that should equal it.

    With n blocks transformers gives n + 1 states: the stream before each block, and one at
    the end. That one comes after the final norm or before it, by architecture: it is what
    equals it, and the other site is compared through the norm. A model that gives another
    number of states is not compared.
    """
    stream = _stream(extractor)
    if not any(site.name in read for site in stream):
        return {}
    states = extractor.hidden_states(one.encoded)
    blocks = [site.name for site in stream if site.name.rpartition(".")[2] != "final"]
    if len(states) != len(blocks):
        return {}
    own = dict(zip(blocks, states, strict=True))
    pairs = {name: _flat(read[name], own[name]) for name in blocks if name in read}
    last, final = blocks[-1], stream[-1]
    if final.name in read and final.name != last:
        norm = extractor.model.module.get_submodule(final.path)
        pairs[final.name] = _flat(read[final.name], states[-1])
        if difference(*pairs[final.name]) == 0 or difference(*pairs[last]) > 0:
            pairs[last] = _flat(_quietly(norm, read[last]), states[-1])
        else:
            pairs[final.name] = _flat(read[final.name], _quietly(norm, states[-1]))
    return pairs


def _quietly(norm: Any, tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        result: torch.Tensor = norm(tensor)
    return result


def _flat(one: "torch.Tensor", two: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    return one.reshape(-1, one.shape[-1]).cpu(), two.reshape(-1, two.shape[-1]).cpu()


def _refusal(extractor: Extractor, proof: Proof) -> str:
    """Say in one line what differs and what to do."""
    model = extractor.model
    apart = f"difference {proof.difference:.2g}, tolerance {proof.tolerance:.2g}"
    if proof.against == HIDDEN:
        return (
            f"{proof.site}: what is read there is not the hidden state that {model.architecture} "
            f"gives for it ({apart}); nothing is stored; leave the site out, or name its submodule "
            f"as module:PATH"
        )
    return (
        f"{proof.site}: a batch gives other rows than the same sample alone ({apart}): padding "
        f"that is not masked, dropout, or a computation too coarse; nothing is stored; use "
        f"--batch-tokens 1 or --compute-dtype float32, or leave the site out"
    )


def check_table(model: LoadedModel, proofs: Sequence[Proof]) -> list[dict[str, Any]]:
    """List proofs with the width and the module of each site."""
    return [
        {
            "site": proof.site,
            "width": model.sites[proof.site].width,
            "module": model.sites[proof.site].path,
            "difference": proof.difference,
            "tolerance": proof.tolerance,
            "against": proof.against,
            "holds": proof.holds,
        }
        for proof in proofs
    ]
