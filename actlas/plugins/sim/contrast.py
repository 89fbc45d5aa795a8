"""The products of InfoNCE, with a gradient written by hand.

Imported when a loss is computed, since this file imports torch.
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus


@final
class Contrast(Function):
    """-log of the softmax of each prediction's true frame among its negatives.

    What autograd would record holds each gathered frame's gradient in a tensor of its own, and
    goes over the scores five times: that takes a third longer.
    """

    @staticmethod
    def forward(
        ctx: Any, predictions: Tensor, rows: Tensor, future: Tensor, drawn: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return loss and share won (M, K) of M contexts.

        predictions: of K frames, (M, K·C). rows: frames (R, C). future: (M, K), of each
        prediction the place of its true frame among the rows. drawn: those of the negatives,
        (M, N) or (M, K, N).
        """
        frames, (many, steps), channels = rows.detach(), future.shape, rows.shape[1]
        groups = drawn.flatten(0, -2)  # of predictions that share negatives: (M or M·K, N)
        predicted = predictions.detach().view(len(groups), -1, channels)
        true = frames.index_select(0, future.flatten()).view_as(predicted)
        others = frames.index_select(0, groups.flatten()).view(*groups.shape, channels)
        positive = (predicted * true).sum(2).view(many, steps)
        against = (predicted @ others.transpose(1, 2)).view(many, steps, -1)
        top = against.amax(2)
        likely = (against - top[..., None]).exp_()
        total = likely.sum(2)
        margin = total.log() + top - positive
        won = _won(positive, against, top)
        ctx.save_for_backward(
            future, groups, predicted, true, others, likely, margin.sigmoid() / total, total
        )
        ctx.rows = len(rows)
        ctx.mark_non_differentiable(won)
        return softplus(margin), won

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of predictions and rows."""
        future, groups, predicted, true, others, likely, share, total = ctx.saved_tensors
        share = gradients[0] * share
        right = (-share * total).view(*predicted.shape[:2], 1)
        wrong = (likely * share[..., None]).view(*predicted.shape[:2], -1)
        found = torch.bmm(wrong, others).addcmul_(right, true).view(len(future), -1)
        channels = predicted.shape[2]
        rows = predicted.new_zeros(ctx.rows, channels)
        rows.index_add_(0, groups.flatten(), (wrong.transpose(1, 2) @ predicted).flatten(0, 1))
        rows.index_add_(0, future.flatten(), (right * predicted).view(-1, channels))
        return found, rows, None, None


def _won(positive: Tensor, against: Tensor, top: Tensor) -> Tensor:
    """1 where the true frame scores above all negatives, 1 / (m + 1) where it ties with m."""
    won = (positive > top).to(positive)
    tied = (positive == top).nonzero(as_tuple=True)
    won[tied] = 1 / ((against[tied] == positive[tied][:, None]).sum(1) + 1).to(positive)
    return won
