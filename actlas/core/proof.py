"""The proof of an extraction: its rows are what the model computes for each sample alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .datasets import Dataset
from .errors import ProofError
from .extraction import ExtractOptions, Extractor, Window
from .models import LoadedModel, listed_sites
from .sites import Site

if TYPE_CHECKING:
    import torch

    from .feeds import Encoded
    from .tokens import Pooled

HALF = 2.0**-10  # epsilon of float16
Stored = Callable[[str, NDArray[np.int64]], "tuple[torch.Tensor, float, bool]"]
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


def prove(extractor: Extractor, window: Window, stored: Stored | None = None) -> list[Proof]:
    """Compare rows about to be stored with the model's own output, or raise ProofError.

    window: one from this extractor; its witnesses (see `Window`) are compared.
    stored: gives the rows of a window at a site as storage has them (rows, width), and the
        greatest error that its rounding adds to a number (int8), by which the tolerance is
        widened, and whether some of them are float16 all the same. Without it the window's own
        rows are compared.

    Costs three forward passes of one short sample each.
    """
    proofs = measure(extractor, window, stored)
    for proof in proofs:
        if not proof.holds:
            raise ProofError(_refusal(extractor, proof))
    return proofs


def measure(extractor: Extractor, window: Window, stored: Stored | None = None) -> list[Proof]:
    """Return a proof for every site of a window, whether it holds or not."""
    model, wanted = extractor.model, {site.name: site for site in extractor.sites}
    alone = [extractor.capture([one.encoded], _read(extractor)) for one in window.witnesses]
    compared = _rows(extractor, window, alone, stored)
    own = _hidden(extractor, window.witnesses[-1].encoded, alone[-1]) if alone else {}
    proofs = []
    for name, site in wanted.items():
        rows, single, step, halves = compared[name]
        bound = tolerance(model, site, extractor.options.dtype)
        if halves and extractor.options.dtype == "int8":
            bound += HALF
        bound += step / scale if step and (scale := _scale(single)) else 0.0
        found = Proof(name, difference(rows, single), bound, SINGLE)
        if name in own:
            exact = Proof(name, difference(*own[name]), _again(model.dtype), HIDDEN)
            found = _both(found, exact)
        proofs.append(found)
    return proofs


def _stream(model: LoadedModel, stack: str) -> list[Site]:
    """The residual stream in order; of an encoder–decoder that of one stack."""
    every = model.sites.values()
    return [
        site for site in every if site.residual and (site.stack == stack or not model.two_sided)
    ]


def _read(extractor: Extractor) -> list[Site]:
    """The sites extracted, and where one of the stream's last two is among them both of these.

    The last hidden state is one of the two.
    """
    wanted = {site.name: site for site in extractor.sites}
    stack = extractor.sites[0].stack
    ends = _stream(extractor.model, stack)[-2:]
    if any(site.name in wanted for site in ends):
        wanted |= {s.name: s for s in ends if s.name not in wanted and s.stack == stack}
    return list(wanted.values())


def _both(one: Proof, two: Proof) -> Proof:
    """Return the comparison that failed, or where both hold the first, naming both."""
    if one.holds and two.holds:
        return replace(one, against=f"{one.against}, {two.against}")
    return two if not two.holds else one


def check_sites(
    model: LoadedModel, dataset: Dataset, sites: Sequence[Site] | None = None
) -> list[Proof]:
    """Prove sites (default: all that are listed) on the first samples of a data set.

    The samples go through the model as in an extraction with pooling by token in float32.
    Encoder and decoder, and stages of unlike positions, are proven one after the other.
    """
    chosen = list(listed_sites(model).values()) if sites is None else list(sites)
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
    roundings = 10 * (len(_stream(model, site.stack)) + 1)
    if model.feed.modality != "text" or not model.sites:  # stages, or no blocks that we know of
        roundings = max(roundings, len(model.calls))
    kind = getattr(torch, dtype)
    stored = torch.finfo(kind).eps if kind.is_floating_point else 0.0
    sigmas = 8 if compute > 2.0**-10 else 16
    added = stored if stored > compute else 0.0
    return float(sigmas * roundoff * roundings**0.5 + added)


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
    relative = (a - b).abs() / b.abs().clamp_min(_scale(b))
    return float(relative.nan_to_num(torch.inf, torch.inf).where(~same, 0.0).max())


def _scale(rows: "torch.Tensor") -> float:
    """Return the mean size of the finite numbers, 0 where there are none."""
    sizes = rows[rows.isfinite()].double().abs()
    return float(sizes.mean()) if len(sizes) else 0.0


def _rows(
    extractor: Extractor,
    window: Window,
    alone: "list[dict[str, torch.Tensor]]",
    stored: Stored | None,
) -> "dict[str, tuple[torch.Tensor, torch.Tensor, float, bool]]":
    """Per site the witnesses' rows, as they are about to be stored and from each alone.

    The third is the greatest error that storage adds to a number of them, the fourth whether
    some are float16 where int8 was asked for.
    """
    import torch

    pooling = extractor.options.pooling
    together = _padded(extractor, window)
    samples = [one.encoded.sample for one in window.witnesses]
    places = [np.flatnonzero(window.rows.sample == sample) for sample in samples]
    order = np.concatenate(places) if places else np.empty(0, np.int64)
    found = {}
    for name in (site.name for site in extractor.sites):
        own = [
            _pooled(tensors[name][0], one, pooling)
            for tensors, one in zip(alone, window.witnesses, strict=True)
        ]
        here, step, halves = [window.data[name][torch.from_numpy(order)]], 0.0, False
        if stored is not None:
            rows, step, halves = stored(name, order)
            here = [rows.to(here[0].dtype)]  # float32 numbers that are exact in the storage dtype
        if together:
            short = _pooled(together[name], window.witnesses[0], pooling)
            here.append(short.to(here[0].dtype))
            own.append(own[0])
        found[name] = torch.cat(here), torch.cat(own or here), step, halves
    return found


def _padded(extractor: Extractor, window: Window) -> "dict[str, torch.Tensor]":
    """Read the shorter witness (length, width) beside the longer, where no batch had padding.

    A later batch may have some; but not where no two samples fit into one.
    """
    if window.padded or len(window.witnesses) < 2:
        return {}
    one, two = (witness.encoded for witness in window.witnesses)
    apart = one.group != two.group or 2 * two.weight > extractor.options.batch_tokens
    if one.weight == two.weight or apart:
        return {}
    return {name: tensor[0] for name, tensor in extractor.capture([one, two]).items()}


def _pooled(tensor: "torch.Tensor", one: "Pooled", pooling: str) -> "torch.Tensor":
    """Pool one sample (length, width) without the code that pools batches.

    What is beyond the sample's positions is padding, or silence that fills up a window.
    """
    import torch

    tensor = tensor[: len(one.encoded)].cpu()
    if pooling == "token":
        return tensor
    if pooling == "mean":
        return tensor.float().mean(0, keepdim=True)
    if pooling in ("first", "last"):
        return tensor[:1] if pooling == "first" else tensor[-1:]
    parts = np.split(one.positions, np.cumsum(one.lengths)[:-1])
    return torch.stack([tensor[torch.from_numpy(part)].float().mean(0) for part in parts])


def _hidden(
    extractor: Extractor, one: "Encoded", read: "dict[str, torch.Tensor]"
) -> "dict[str, tuple[torch.Tensor, torch.Tensor]]":
    """Per site what hooks read of a sample, and the hidden state that should equal it.

    With n blocks transformers gives n + 1 states: the stream before each block, and one at
    the end. That one comes after the final norm or before it, by architecture: it is what
    equals it, and the other site is compared through the norm. A model that gives another
    number of states, or states of other shapes, is not compared.
    """
    sites = {site.name: site for site in extractor.sites}
    stream = [sites.get(s.name, s) for s in _stream(extractor.model, extractor.sites[0].stack)]
    if not any(site.name in read for site in stream):
        return {}
    blocks = [site for site in stream if site.name.rpartition(".")[2] != "final"]
    states = extractor.hidden_states(one)
    if len(states) != len(blocks):
        return {}
    given = {s.name: t for s, t in zip(blocks, states, strict=True) if s.name in read}
    if any(given[s.name].numel() % s.width for s in blocks if s.name in given):
        return {}
    own = {s.name: s.read(given[s.name], (1, 0)) for s in blocks if s.name in given}
    if any(own[name].shape != read[name].shape for name in own):
        return {}
    pairs = {name: _flat(read[name], own[name]) for name in own}
    last, final = blocks[-1], stream[-1]
    if final is not last and last.name in own:
        pairs |= _ends(extractor.model, last, final, read, own[last.name])
    return pairs


def _ends(
    model: LoadedModel,
    last: Site,
    final: Site,
    read: "dict[str, torch.Tensor]",
    state: "torch.Tensor",
) -> "dict[str, tuple[torch.Tensor, torch.Tensor]]":
    """Compare the last block and the norm after it with the last hidden state."""
    norm = model.module.get_submodule(model.sites[final.name].path)
    after = _flat(read[final.name], state)
    before = _flat(read[last.name], state)
    if difference(*after) == 0 or difference(*before) > 0:
        before = _flat(_quietly(norm, read[last.name]), state)
    else:
        after = _flat(read[final.name], _quietly(norm, state))
    return {last.name: before, final.name: after}


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
    sites = listed_sites(model)
    return [
        {
            "site": proof.site,
            "width": sites[proof.site].width,
            "module": sites[proof.site].path,
            "difference": proof.difference,
            "tolerance": proof.tolerance,
            "against": proof.against,
            "holds": proof.holds,
        }
        for proof in proofs
    ]
