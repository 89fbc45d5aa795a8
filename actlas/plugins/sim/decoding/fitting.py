"""A decoder fitted: which rows train and test it, its errors, and what it is measured on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, pick_device

from .decoders import Decoder, Latents, Scale, Training, row_decoder, seeded, wave_decoder
from .measured import Measured, Units
from .sequences import Sequences
from .stack import Loss, loss_of
from .targets import Target
from .views import View, error

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
GATE = 0.05  # R² that a decoder must exceed for smoothness to be told
ACTIVE = 0.01  # variance of a mean (Burda et al. 2016)
ITEMS = 64  # test items among which pairs are chosen


@dataclass(frozen=True, eq=False)
class Parts:
    """Samples, and places of rows: training and test rows, items (n, frames) of either."""

    train: Ints
    test: Ints
    train_rows: Ints
    test_rows: Ints
    train_items: Ints
    test_items: Ints
    frames: int

    @classmethod
    def of(cls, order: Sequences, train: Ints, test: Ints, frames: int, wave: bool) -> "Parts":
        """Choose rows and items; of waveforms only samples that have as many frames."""
        if min(len(train), len(test)) < 2:
            raise InputError(
                f"sim_decode: {len(train)} samples to train on and {len(test)} to test on, and two "
                f"of each are needed; give more samples or groups, or another --test-share"
            )
        items, held = order.items(train, frames), order.items(test, frames)
        if len(items) < 2 or len(held) < 2:
            raise InputError(
                f"sim_decode: of {len(train)} and {len(test)} samples {len(items)} and "
                f"{len(held)} have {frames} frames, and two of each are needed; use fewer "
                f"--frames"
            )
        if wave:
            train, test = (side[order.sizes[side] >= frames] for side in (train, test))
        rows = order.of_samples(train), order.of_samples(test)
        return cls(train, test, *rows, items, held, frames)


def latents_of(acts: Activations, logvar: NDArray[np.float32] | None) -> Latents:
    """Read a site onto the run's device."""
    import torch

    device = pick_device(acts.device)
    mean = torch.from_numpy(acts.numpy()).to(device)
    return Latents(mean, None if logvar is None else torch.from_numpy(logvar).to(device))


def trained(latents: Latents, aim: Target, parts: Parts, how: Training, loss: Loss) -> Decoder:
    """Train the decoder of rows, or that of waveforms."""
    if aim.stack is None:
        return row_decoder(latents, aim, parts.train_rows, how)
    assert aim.bands is not None
    heard = loss_of(loss, aim.rate, aim.bands.top)
    return wave_decoder(latents, aim, parts.train_items, parts.train, how, heard)


def goals_of(aim: Target, items: Ints, samples: Ints, device: Any) -> "Tensor":
    """Return real outputs (n, frames, channels) of items (n, frames)."""
    import torch

    if aim.stack is None:
        return torch.from_numpy(aim.values[items]).to(device)
    return torch.from_numpy(aim.values[samples][:, None]).to(device)


def measured_on(
    made: Decoder, latents: Latents, aim: Target, parts: Parts, units: Units, seed: int
) -> Measured:
    """Put together what is measured on: some test items, the real outputs, the decoder."""
    import torch

    device, generator = latents.mean.device, seeded(seed + 1)
    real = goals_of(aim, parts.train_items, parts.train, device)
    few = torch.randperm(len(parts.test_items), generator=generator)[:ITEMS].numpy()
    items = torch.from_numpy(parts.test_items[few])
    whole = aim.stack is not None
    goals = goals_of(aim, parts.test_items[few], parts.test[few] if whole else few, device)
    drawn = Scale.of(latents.drawn(torch.from_numpy(parts.train_rows), generator))
    view = View.of(made, aim, real)
    return Measured(view, latents.mean[items], goals, real, drawn, units, generator)


def active_units(latents: Latents, parts: Parts) -> NDArray[np.bool_] | None:
    """Return (width,) whether the mean of a posterior varies; None without log-variance."""
    if latents.logvar is None:
        return None
    found: NDArray[np.bool_] = (latents.mean[parts.train_rows].var(0) > ACTIVE).cpu().numpy()
    return found


def errors_of(view: View, latents: Latents, aim: Target, parts: Parts, seed: int) -> dict[str, Any]:
    """Return what is known of a decoder by its errors: columns of `Summary`."""
    import torch

    generator = seeded(seed + 2)

    def errors(rows: Ints, items: Ints, samples: Ints) -> tuple[float, float]:
        places = torch.from_numpy(rows[:, None] if aim.stack is None else items)
        goals = goals_of(aim, places.numpy(), samples, latents.mean.device)
        drawn = latents.drawn(places, generator)
        own = error(view, drawn, goals)
        return own, own if latents.logvar is None else error(view, latents.mean[places], goals)

    train, _ = errors(parts.train_rows, parts.train_items, parts.train)
    test, mean = errors(parts.test_rows, parts.test_items, parts.test)
    return {
        "target": aim.name, "trained_on": "means" if latents.logvar is None else "samples",
        "train": len(parts.train), "test": len(parts.test), "frames": parts.frames,
        "train_error": train, "test_error": test, "mean_error": mean, "r2": 1 - test,
        "informative": 1 - test > GATE,
    }  # fmt: skip
