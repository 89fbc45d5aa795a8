"""The analysis `sim_decode`: what a decoder of a frozen site shows of its space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels, Others, Result, Samples, analysis, pick_device

from . import figures, measured, strips, targets
from .decoders import (
    Decoder,
    Kind,
    Latents,
    Scale,
    Training,
    row_decoder,
    seeded,
    wave_decoder,
)
from .measured import Measured, Units
from .measures import area
from .sequences import Sequences, frames_of_items, split
from .sound import Form
from .stack import Loss, loss_of
from .tables import TABLES, Path, Realism, Step, Summary
from .targets import Target
from .views import View, error

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
GATE = 0.05  # R² that a decoder must exceed for smoothness to be told
ACTIVE = 0.01  # variance of a mean (Burda et al. 2016)
ITEMS = 64  # test items among which pairs are chosen
BATCH = {True: 32, False: 256}  # whether of waveforms
EPOCHS = {True: 60, False: 40}


@dataclass(frozen=True, eq=False)
class _Parts:
    """Samples, and places of rows: training and test rows, items (n, frames) of either."""

    train: Ints
    test: Ints
    train_rows: Ints
    test_rows: Ints
    train_items: Ints
    test_items: Ints
    frames: int

    @classmethod
    def of(cls, order: Sequences, train: Ints, test: Ints, frames: int, wave: bool) -> "_Parts":
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


@analysis(
    version=1,
    tables=TABLES,
    arrays=strips.ARRAYS,
    figures=figures.ALL,
    headline="area",
    when={"samples": {"target": "sample"}, "others": {"target": "site"}},
)
def sim_decode(
    acts: Activations,
    samples: Samples | None,
    others: Others | None,
    labels: Labels | None,
    *,
    target: Annotated[
        Literal["sample", "site"],
        "what is decoded: what the samples are (sound, pixels), or another site (--other)",
    ] = "sample",
    form: Annotated[
        Form, "of sound: spectrum (bands even in Hz), mel (even in mel), or the waveform"
    ] = "spectrum",
    decoder: Annotated[Kind, "of rows: two hidden layers, or ridge regression"] = "mlp",
    hidden: Annotated[int, "width of the hidden layers of the mlp"] = 128,
    channels: Annotated[int, "channels of the decoder of waveforms (published: 512)"] = 32,
    loss: Annotated[
        Loss, "of waveforms: squared error, power or log-mel spectra, Fourier transform; sums"
    ] = "wave+mel",
    epochs: Annotated[int | None, "passes over the training rows (None: 40; waveforms 60)"] = None,
    lr: Annotated[float, "step size of Adam"] = 1e-3,
    alpha: Annotated[float, "ridge penalty, of standardised dimensions"] = 0.01,
    sampled: Annotated[
        bool, "train on samples z = μ + σε where the log-variance is given (--other SITE.logvar)"
    ] = True,
    rate: Annotated[int, "samples a second at which sound is decoded"] = 16000,
    bands: Annotated[int, "bands of a spectrum"] = 40,
    pixels: Annotated[int, "height and width at which images are decoded"] = 16,
    frames: Annotated[
        int | None, "frames of an item (None: what three quarters of the samples have, ≤ 64)"
    ] = None,
    units: Annotated[
        Units, "of traversals: the prior's (0 ± 2.68), or spread: mean ± 2.68 standard deviations"
    ] = "unit",
    pairs: Annotated[int, "ordered pairs of test items"] = 300,
    steps: Annotated[int, "steps of a traversal or interpolation that is drawn"] = 9,
    test_share: Annotated[float, "share of the groups kept for testing"] = 0.25,
    max_rows: Annotated[int, "most rows that are read, in whole samples"] = 60000,
    seed: Annotated[int, "seed of split, weights and draws"] = 0,
) -> Result:
    """A decoder of frozen activations; then traversals, interpolations, smoothness.

    Each row is decoded to the log spectrum of the sound at its frame (or items to the waveform, by
    the published stack), to pixels, or to another site; training and test samples share no group.
    Interpolation contribution score, realism of prior samples and midpoints, straightness of
    paths and effects of dimensions are those of Denoodt et al. 2024 (arXiv 2408.12936), told only
    where R² of the test samples exceeds 0.05: a collapsed space looks smooth.
    """
    _check(hidden, channels, lr, alpha, pairs, steps, max_rows, seed, epochs)
    rng = np.random.default_rng(seed)
    order = Sequences.of(acts).some(max_rows, rng)
    length = frames_of_items(order, frames)
    train, test = split(order, labels, test_share, rng)
    wave = target == "sample" and form == "wave"
    parts = _Parts.of(order, train, test, length, wave)
    logvar = targets.logvar_of(acts, others) if sampled else None
    latents = _latents(acts, logvar)
    if target == "site":
        aim = targets.of_site(acts, others)
    else:
        assert samples is not None
        aim = targets.of_samples(samples, acts.rows, order, form, rate, bands, length, pixels)
    waved = aim.stack is not None
    how = Training(
        decoder, channels if waved else hidden, epochs or EPOCHS[waved], lr, BATCH[waved], alpha,
        seed,
    )  # fmt: skip
    made = _trained(latents, aim, parts, how, loss)
    on = _measured(made, latents, aim, parts, units, seed)
    head = _summary(on.view, latents, aim, parts, seed)
    said = _remarks(on, latents, head["test_error"], others, sampled)
    if not head["informative"]:
        return _uninformative(head, on, said)
    chosen = measured.pairs(len(on.items), pairs, on.generator)
    return _informative(head, on, chosen, steps, said)


def _check(
    hidden: int, channels: int, lr: float, alpha: float, pairs: int, steps: int, max_rows: int,
    seed: int, epochs: int | None,
) -> None:  # fmt: skip
    least = {"hidden": (hidden, 1), "channels": (channels, 1), "pairs": (pairs, 1),
             "steps": (steps, 2), "max_rows": (max_rows, 1), "seed": (seed, 0),
             "epochs": (1 if epochs is None else epochs, 1)}  # fmt: skip
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"sim_decode: {name}={value}; use {low} or more")
    if lr <= 0 or alpha < 0:
        raise InputError("sim_decode: lr > 0 and alpha ≥ 0 are needed")


def _latents(acts: Activations, logvar: NDArray[np.float32] | None) -> Latents:
    import torch

    device = pick_device(acts.device)
    mean = torch.from_numpy(acts.numpy()).to(device)
    return Latents(mean, None if logvar is None else torch.from_numpy(logvar).to(device))


def _trained(latents: Latents, aim: Target, parts: _Parts, how: Training, loss: Loss) -> Decoder:
    if aim.stack is None:
        return row_decoder(latents, aim, parts.train_rows, how)
    return wave_decoder(latents, aim, parts.train_items, parts.train, how, loss_of(loss, aim.rate))


def _goals(aim: Target, items: Ints, samples: Ints, device: Any) -> "Tensor":
    """Return real outputs (n, frames, channels) of items (n, frames)."""
    import torch

    if aim.stack is None:
        return torch.from_numpy(aim.values[items]).to(device)
    return torch.from_numpy(aim.values[samples][:, None]).to(device)


def _measured(
    made: Decoder, latents: Latents, aim: Target, parts: _Parts, units: Units, seed: int
) -> Measured:
    import torch

    device, generator = latents.mean.device, seeded(seed + 1)
    real = _goals(aim, parts.train_items, parts.train, device)
    few = torch.randperm(len(parts.test_items), generator=generator)[:ITEMS].numpy()
    items = torch.from_numpy(parts.test_items[few])
    whole = aim.stack is not None
    goals = _goals(aim, parts.test_items[few], parts.test[few] if whole else few, device)
    drawn = Scale.of(latents.drawn(torch.from_numpy(parts.train_rows), generator))
    view = View.of(made, aim, real)
    return Measured(view, latents.mean[items], goals, real, drawn, units, generator)


def _summary(view: View, latents: Latents, aim: Target, parts: _Parts, seed: int) -> dict[str, Any]:
    """Return what is known of a decoder by its errors: columns of `Summary`."""
    import torch

    generator = seeded(seed + 2)

    def errors(rows: Ints, items: Ints, samples: Ints) -> tuple[float, float]:
        places = torch.from_numpy(rows[:, None] if aim.stack is None else items)
        goals = _goals(aim, places.numpy(), samples, latents.mean.device)
        drawn = latents.drawn(places, generator)
        own = error(view, drawn, goals)
        return own, own if latents.logvar is None else error(view, latents.mean[places], goals)

    train, _ = errors(parts.train_rows, parts.train_items, parts.train)
    test, mean = errors(parts.test_rows, parts.test_items, parts.test)
    active = None
    if latents.logvar is not None:
        active = int((latents.mean[parts.train_rows].var(0) > ACTIVE).sum())
    return {
        "target": aim.name, "trained_on": "means" if latents.logvar is None else "samples",
        "train": len(parts.train), "test": len(parts.test), "frames": parts.frames,
        "train_error": train, "test_error": test, "mean_error": mean, "r2": 1 - test,
        "informative": 1 - test > GATE, "active": active,
    }  # fmt: skip


def _remarks(
    on: Measured, latents: Latents, test_error: float, others: Others | None, sampled: bool
) -> list[str]:
    said = []
    if 1 - test_error <= GATE:
        said.append(
            f"the decoder explains {max(1 - test_error, 0):.1%} of the test samples' variance, so "
            f"the space is not called smooth: a collapsed one would look so"
        )
    middle = float(on.drawn.std.median())
    if on.units == "unit" and not 0.2 < middle < 5:
        said.append(
            f"dimensions have a standard deviation of {middle:.2g}, and are traversed over ±2.68; "
            f"use --units spread"
        )
    if latents.logvar is None and sampled and others is None:
        said.append(
            "trained on the values of the site; where they are means of posteriors, name their "
            "log-variance (--other SITE.logvar), else scores of samples mislead"
        )
    return said


def _uninformative(head: Mapping[str, Any], on: Measured, said: list[str]) -> Result:
    names = ("area", "dead", "prior", "fitted", "midpoint", "linearity", "matched", "path_length")
    missing: dict[str, Any] = dict.fromkeys(names)
    tables = {
        "summary": Summary(**head, **missing),
        "dimensions": measured.dimensions(on, None),
        "curve": [], "realism": [], "paths": [], "strips": [],
    }  # fmt: skip
    return Result(tables, strips.nothing(), said)


def _informative(
    head: Mapping[str, Any], on: Measured, chosen: Ints, steps: int, said: list[str]
) -> Result:
    effect = measured.traversals(on, steps)
    dims = measured.dimensions(on, effect)
    curve = measured.curve(on, chosen, effect)
    realism = measured.realisms(on, chosen)
    paths = measured.paths(on, chosen)
    kept = strips.arrays(on, chosen, effect, steps)
    summary = Summary(
        **head,
        **_smoothness(curve, realism, paths),
        dead=sum(bool(one.dead) for one in dims),
        path_length=measured.speed(on, chosen),
    )
    tables = {
        "summary": summary, "dimensions": dims, "curve": curve, "realism": realism,
        "paths": paths, "strips": strips.cells(on, kept),
    }  # fmt: skip
    return Result(tables, kept, said)


def _smoothness(curve: list[Step], realism: list[Realism], paths: list[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {one.kind: one.ratio for one in realism}
    found["area"] = area([one.k for one in curve], np.array([one.score for one in curve]))
    for kind, name in (("items", "linearity"), ("random", "matched")):
        straight = [p.linearity for p in paths if p.kind == kind and p.linearity is not None]
        found[name] = float(np.median(straight)) if straight else None
    return found
