"""InfoNCE over future frames, and the KL term; usable in any torch model.

Imported when a loss is computed, since this file imports torch.
"""

from dataclasses import dataclass
from math import log
from typing import final

import torch
from torch import Tensor

from actlas import InputError

from .config import NegativeMode
from .contrast import Contrast


@final
@dataclass(frozen=True)
class InfoNCE:
    """The loss of one module over a batch, in nats.

    loss: (), mean of by_step, to be minimised. by_step: (K,), of predicting k frames ahead.
    accuracy: (), share of predictions in which the true frame scores above all negatives; one
        that ties with m negatives counts 1/(m + 1), so that a constant critic is at chance.
    negatives: N.
    """

    loss: Tensor
    by_step: Tensor
    accuracy: Tensor
    negatives: int

    @property
    def bound(self) -> float:
        """log(N + 1) - loss, in expectation at most the information of c about the future, nats."""
        return log(self.negatives + 1) - float(self.loss.detach())


def info_nce(
    context: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    negatives: int = 10,
    span: slice | None = None,
    mode: NegativeMode = "shared",
    generator: torch.Generator | None = None,
) -> InfoNCE:
    """Score each context against the true frame k = 1 … K ahead and N negatives.

    context: c (batch, T', width). target: z (batch, T, C). weight: W of f_k(t) = z_{t+k}ᵀ W_k c_t
        as (K·C, width), rows (k-1)·C to k·C being W_k: the weight of
        `nn.Linear(width, K * C, bias=False)`.
    span: the T' frames of the target that the contexts stand at and that are predicted (see
        `draw_span`); None for all. Negatives come from all T frames.
    mode: shared (permutations of all frames of the batch, drawn once and reused for every k; the
        positive may be among them), per_step (drawn for each k, never the positive), or sequence
        (permutations of the clip's own frames).
    generator: a CPU generator to draw with (default: torch's own).

    The mean is over clips and frames for each k, then over k (van den Oord et al. 2018, arXiv
    1807.03748, eq. 4; Löwe et al. 2019, eq. 3). True frames and negatives are gathered once, and
    all k scored in one batched matrix product. Raises InputError where there are too few frames.
    """
    (batch, frames, channels), scored = target.shape, context.shape[1]
    first = span.start if span else 0
    _check(context, target, weight, scored, first, negatives)
    steps = len(weight) // channels
    rows = torch.arange(batch * frames).view(batch, frames)[:, first : first + scored].reshape(-1)
    ahead = torch.arange(1, steps + 1)
    future = (rows[:, None] + ahead).clamp_(max=batch * frames - 1)  # (B·T', K)
    drawn = _negatives(batch, frames, rows, steps, negatives, mode, generator)
    lost, won = Contrast.apply(  # type: ignore[no-untyped-call]  # torch has no types of it
        context.flatten(0, 1) @ weight.T, target.flatten(0, 1), future.to(target.device),
        drawn.to(target.device),
    )  # fmt: skip
    # The last frames have no future among the T': frame t counts for k where t + k < T'.
    valid = torch.arange(scored)[:, None] + ahead < scored  # (T', K)
    share = (valid / (batch * (scored - ahead))).to(lost)

    def mean(values: Tensor) -> Tensor:  # (B·T', K) → (K,)
        return (values.view(batch, scored, steps).sum(0) * share).sum(0)

    by_step = mean(lost)
    return InfoNCE(by_step.mean(), by_step, mean(won).mean(), negatives)


def draw_span(frames: int, window: int, generator: torch.Generator | None = None) -> slice:
    """Return `window` of the frames from a random start, or all where there are fewer."""
    if frames <= window:
        return slice(0, frames)
    start = int(torch.randint(frames - window + 1, (1,), generator=generator))
    return slice(start, start + window)


def _check(
    context: Tensor, target: Tensor, weight: Tensor, scored: int, first: int, negatives: int
) -> None:
    batch, frames, channels = target.shape
    if len(context) != batch or first + scored > frames:
        raise InputError(
            f"context {tuple(context.shape)} from frame {first} is not of target "
            f"{tuple(target.shape)}; both are (batch, frames, width)"
        )
    steps, left = divmod(len(weight), channels)
    if left or not steps or weight.shape[1] != context.shape[2]:
        raise InputError(
            f"weight is {tuple(weight.shape)}; it is (K·{channels}, {context.shape[2]})"
        )
    if scored <= steps or batch * frames <= negatives:
        raise InputError(
            f"{batch} × {scored} frames are too few to predict {steps} ahead among {negatives} "
            f"negatives; use longer clips, a larger window, or fewer steps"
        )


def _negatives(
    batch: int, frames: int, rows: Tensor, steps: int, count: int, mode: NegativeMode,
    generator: torch.Generator | None,
) -> Tensor:  # fmt: skip
    """Places of the negatives among the batch·frames rows: (B·T', N), or (B·T', K, N)."""
    every = batch * frames
    if mode == "per_step":
        ahead = rows[:, None] + torch.arange(1, steps + 1)
        shape = (len(rows), steps, count)
        return (ahead[..., None] + torch.randint(1, every, shape, generator=generator)) % every
    if mode == "shared":
        drawn = [torch.randperm(every, generator=generator) for _ in range(count)]
        return torch.stack([one[: len(rows)] for one in drawn], 1)
    order = torch.rand((count, batch, frames), generator=generator).argsort(2)
    order += torch.arange(0, every, frames)[:, None]  # (N, B, T)
    return order.view(count, -1)[:, rows].T


def kl_terms(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, exp(logvar)) ‖ N(0, 1)) of every element, nats, in the shape given."""
    return (mu.square() + logvar.exp() - 1 - logvar) / 2


@final
@dataclass(frozen=True)
class Rate:
    """The KL term of a batch by both reductions.

    per_vector: (), summed over channels, mean over clips and frames: nats per vector.
    paper_compat: (), summed over frames, mean over clips and channels, as published.
    """

    per_vector: Tensor
    paper_compat: Tensor


def kl_rate(mu: Tensor, logvar: Tensor) -> Rate:
    """Reduce the KL of posteriors (batch, C, frames) in both ways."""
    mean = kl_terms(mu, logvar).mean()
    return Rate(mean * mu.shape[1], mean * mu.shape[2])
