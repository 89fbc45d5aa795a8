"""L-BFGS for many small problems at once, each with its own step and its own end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 12


@dataclass(frozen=True)
class Problem:
    """Losses of many instances, by their points (instances, numbers); `rows` says which these are.

    gradient: (points, rows) to gradients of the same shape.
    line: (points, directions, rows) to (instances, 4): the coefficients c₁…c₄ of the loss along
        the direction, c₁t + c₂t² + c₃t³ + c₄t⁴, its value at 0 left out.
    """

    gradient: "Callable[[Tensor, Tensor], Tensor]"
    line: "Callable[[Tensor, Tensor, Tensor], Tensor]"


def minimise(problem: Problem, points: "Tensor", *, tol: float, max_iter: int) -> "Tensor":
    """Return the minima (instances, numbers) that L-BFGS reaches from `points`, in float64.

    tol: an instance is done when its gradient's norm is below this part of the first one's.
    Steps are exact: the loss along a line is a polynomial of degree 4, so that curvature is
    positive by construction and no step has to be tried. Nocedal & Wright 2006, algorithm 7.5.
    """
    import torch

    found = points.clone()
    rows = torch.arange(len(points))
    x, g = points, problem.gradient(points, rows)
    least = tol * g.norm(dim=1)
    past: list[tuple[Tensor, Tensor]] = []
    for _ in range(max_iter):
        p = _direction(g, past)
        t = exact_step(problem.line(x, p, rows))
        step = t[:, None] * p
        x = x + step
        change = problem.gradient(x, rows) - g
        g = g + change
        past = [*past[1 - MEMORY :], (step, change)]
        found[rows] = x
        going = g.norm(dim=1) > least[rows]
        if not going.any():
            break
        if not going.all():
            rows, x, g = rows[going], x[going], g[going]
            past = [(s[going], y[going]) for s, y in past]
    return found


def _direction(g: "Tensor", past: "list[tuple[Tensor, Tensor]]") -> "Tensor":
    """Return the descent directions (instances, numbers): the two loops, all instances at once."""
    import torch

    q, kept = -g, []
    for s, y in reversed(past):
        sy = (s * y).sum(1)
        rho = torch.where(sy > 0, 1 / sy, 0.0)  # 0: a step lost in rounding, passed over
        a = rho * (s * q).sum(1)
        q = q - a[:, None] * y
        kept.append((s, y, rho, a))
    if past:
        s, y = past[-1]
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        q = q * torch.where(sy > 0, sy / yy, 1.0)[:, None]
    for s, y, rho, a in reversed(kept):
        q = q + (a - rho * (y * q).sum(1))[:, None] * s
    downhill = (q * g).sum(1) < 0
    return torch.where(downhill[:, None], q, -g)


def exact_step(line: "Tensor") -> "Tensor":
    """Return the t > 0 (instances,) where c₁t + c₂t² + c₃t³ + c₄t⁴ is least; c₁ ≤ 0 ≤ c₄.

    Roots of the derivative are sought in 1/t: near the optimum c₃ and c₄ are far smaller than c₂,
    and the root that is wanted would drown in those that lie far out. 0 where c₁ is 0.
    """
    import torch

    flat = line[:, 0] >= 0
    slope = torch.where(flat, -1.0, line[:, 0])
    factors = torch.tensor([2.0, 3.0, 4.0], dtype=line.dtype)
    companion = torch.zeros(len(line), 3, 3, dtype=line.dtype)
    companion[:, 1, 0] = companion[:, 2, 1] = 1
    companion[:, 0] = -line[:, 1:] * factors / slope[:, None]
    u = torch.linalg.eigvals(companion).real
    t = torch.where(u > 0, 1 / u, 0.0)  # (instances, 3)
    powers = torch.stack([t, t**2, t**3, t**4], 2)
    values = (powers * line[:, None]).sum(2).nan_to_num(nan=torch.inf)
    best = t.gather(1, values.argmin(1, keepdim=True))[:, 0]
    return torch.where(flat, 0.0, best)
