"""Pictures of one shape each with captions, and an encoder that sees the pictures only."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

SIDE = 32
COLOURS = {
    "red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220),
    "yellow": (235, 210, 50), "purple": (150, 60, 180), "white": (245, 245, 245),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZES = {"small": 4.0, "large": 7.0}  # half of the shape's side, pixels
ROWS = {"top": 9, "middle": 16, "bottom": 23}
COLUMNS = {"left": 9, "centre": 16, "right": 23}
GROUNDS = {"dark": 30, "grey": 110}
JITTER = 1.5  # pixels
BATCH = 64


@dataclass(frozen=True)
class Scenes:
    """Pictures (n, 3, 32, 32) from 0 to 1, and a caption of each."""

    pictures: NDArray[np.float32]
    captions: list[str]


def make_scenes(count: int, seed: int = 0) -> Scenes:
    """Draw scenes: shape, colour, size, place and ground by chance, independent of each other."""
    rng = np.random.default_rng(seed)
    kinds = list(product(SHAPES, COLOURS, SIZES, ROWS, COLUMNS, GROUNDS))
    chosen = [kinds[i] for i in rng.integers(len(kinds), size=count)]
    pictures = np.stack([_picture(*kind, *rng.uniform(-JITTER, JITTER, 2)) for kind in chosen])
    captions = [
        f"a {size} {colour} {shape} at the {row} {column} of a {ground} picture"
        for shape, colour, size, row, column, ground in chosen
    ]
    return Scenes(pictures, captions)


def _picture(
    shape: str, colour: str, size: str, row: str, column: str, ground: str, dy: float, dx: float
) -> NDArray[np.float32]:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = _inside(shape, y - ROWS[row] - dy, x - COLUMNS[column] - dx, SIZES[size])
    picture = np.full((3, SIDE, SIDE), GROUNDS[ground] / 255, np.float32)
    picture[:, inside] = (np.array(COLOURS[colour]) / 255)[:, None]
    return picture


def _inside(
    shape: str, y: NDArray[np.float64], x: NDArray[np.float64], half: float
) -> NDArray[np.bool_]:
    """Mask of a shape around the origin."""
    box = (abs(x) <= half) & (abs(y) <= half)
    radius = np.hypot(x, y)
    found: dict[str, NDArray[np.bool_]] = {
        "circle": radius <= half,
        "square": box,
        "triangle": box & (abs(x) <= (y + half) / 2),
        "cross": box & ((abs(x) <= half / 3) | (abs(y) <= half / 3)),
        "ring": (radius <= half) & (radius >= half / 2),
    }
    return found[shape]


def learnt_features(
    pictures: NDArray[np.float32], dims: int = 64, epochs: int = 15, seed: int = 0
) -> NDArray[np.float32]:
    """Features (n, dims) by a convolutional autoencoder trained on the pictures, unlabelled."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, decoder = _encoder(dims), _decoder(dims)
    given = torch.from_numpy(pictures)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    chance = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(given), generator=chance)
        for start in range(0, len(given), BATCH):
            picked = order[start : start + BATCH]
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(decoder(encoder(given[picked])), given[picked])
            torch.autograd.backward(loss)
            optimiser.step()
    with torch.no_grad():
        parts = [encoder(given[i : i + BATCH]) for i in range(0, len(given), BATCH)]
    features: NDArray[np.float32] = torch.cat(parts).numpy()
    return features


def _encoder(dims: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, dims),
    )  # fmt: skip


def _decoder(dims: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.Linear(dims, 64 * 16), nn.ReLU(), nn.Unflatten(1, (64, 4, 4)),
        nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(16, 3, 4, 2, 1),
    )  # fmt: skip
