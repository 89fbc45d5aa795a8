"""Tensors laid out frame after frame, as losses read them and convolutions are quickest.

Imported with the network: it imports torch.
"""

from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, relu, relu_

MANY = 16  # clips from which torch gives a 1×1 convolution of one thread to oneDNN


def by_frames(x: Tensor) -> Tensor:
    """Lay (B, C, T) out so that the C numbers of a frame lie side by side; the shape stays."""
    batch, channels, frames = x.shape
    return x.transpose(1, 2).flatten(1).view(batch, frames, channels).transpose(1, 2)


def lies_by_frames(x: Tensor) -> bool:
    """Whether (B, C, T) is laid out by frames."""
    return x.stride(1) == 1


def rectified(x: Tensor, conv: nn.Conv1d, norm: nn.BatchNorm1d | None) -> Tensor:
    """Return relu(norm(conv(x))) of (B, given, n) by frames, (B, C, T) by frames.

    Convolved as an image of one line, since torch knows this layout of images only: so a CPU
    takes half the time.
    """
    lines = conv2d(
        x.unsqueeze(2), conv.weight.unsqueeze(2), conv.bias, (1, *conv.stride), (0, *conv.padding)
    )  # (B, C, 1, T)
    if norm is None:
        return relu_(lines).squeeze(2)
    rows = lines.permute(0, 2, 3, 1)
    normed: Tensor = norm(rows.flatten(0, 2)).view_as(rows).permute(0, 3, 1, 2)
    return relu(normed).squeeze(2)


def product(frames: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return frames (B, T, C) @ weight (D, C)ᵀ + bias, (B, T, D).

    Of many clips as a convolution: oneDNN takes half of BLAS's time where there are few channels.
    """
    if len(frames) < MANY:
        return linear(frames, weight, bias)
    lines = frames.transpose(1, 2).unsqueeze(2)
    found: Tensor = conv2d(lines, weight[:, :, None, None], bias)
    return found.squeeze(2).transpose(1, 2)
