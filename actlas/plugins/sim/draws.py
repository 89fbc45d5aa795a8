"""Draws of a posterior and its KL, with a gradient written by hand.

Imported when a loss is computed, since this file imports torch.
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

hardtanh_backward = torch.ops.aten.hardtanh_backward  # zero where clamped


@final
class Draws(Function):
    """Two draws of N(μ, exp(logvar)), reparametrised, and the KL to N(0, 1).

    Autograd would go over the frames three times as often.
    """

    @staticmethod
    def forward(
        ctx: Any, heads: Tensor, clamp: float, noise: Tensor, again: Tensor, first: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return z (B, T, C), c (B, T', C) of T' frames from the first on, and the KL, ().

        heads: μ and behind it logvar, (B, T, 2·C), clamped to ± clamp. noise: N(0, 1) of z, and
        again that of c, in their shapes. The KL is the mean over all elements, nats.
        """
        mu, logvar = heads.detach().chunk(2, 2)
        logvar = logvar.clamp(-clamp, clamp)
        total = mu.square().sum() - logvar.sum()
        std = logvar.div_(2).exp_()
        z = torch.addcmul(mu, std, noise)
        span = slice(first, first + again.shape[1])
        context = torch.addcmul(mu[:, span], std[:, span], again)
        kl = ((total + std.view(-1) @ std.view(-1)) / std.numel() - 1) / 2
        ctx.save_for_backward(heads, std, noise, again)
        ctx.clamp, ctx.span = clamp, span
        return z, context, kl

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the heads."""
        (heads, std, noise, again), (of_z, of_context, of_kl) = ctx.saved_tensors, gradients
        span, weight = ctx.span, of_kl / std.numel()
        found = torch.empty_like(heads)
        (mu, logvar), (of_mu, of_logvar) = heads.chunk(2, 2), found.chunk(2, 2)
        torch.addcmul(of_z, mu, weight, out=of_mu)
        of_mu[:, span] += of_context
        torch.mul(of_z, noise, out=of_logvar)
        of_logvar[:, span].addcmul_(of_context, again)
        of_logvar.addcmul_(std, weight).mul_(std).sub_(weight).div_(2)
        of_logvar.copy_(hardtanh_backward(of_logvar, logvar, -ctx.clamp, ctx.clamp))
        return found, None, None, None, None
