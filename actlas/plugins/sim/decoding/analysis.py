"""The analysis `sim_decode`: what a decoder of a frozen site shows of its space."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import Activations, InputError, Labels, Others, Result, Samples, analysis

from . import figures, measured, strips, targets
from .decoders import Kind, Training, one_thread
from .fitting import Parts, active_units, errors_of, latents_of, measured_on, trained
from .measured import Measured, Units
from .measures import area
from .remarks import gate, of_posterior, remarks
from .sequences import Sequences, frames_of_items, split
from .sound import Form
from .stack import Loss
from .tables import TABLES, Path, Realism, Step, Summary

Ints = NDArray[np.int64]
BATCH = {True: 32, False: 256}  # whether of waveforms
EPOCHS = {True: 60, False: 40}


@analysis(
    version=2,
    aligned=True,
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
        Loss,
        "of waveforms: squared error, power or log-mel spectra (mels: of three windows), Fourier "
        "transform; sums",
    ] = "wave+mels",
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
    where R² of the test samples exceeds 0.05 and a unit is active: a collapsed space looks smooth.
    """
    _check(hidden, channels, lr, alpha, pairs, steps, max_rows, seed, epochs)
    rng = np.random.default_rng(seed)
    acts, others, labels = _some(acts, others, labels, max_rows, rng)
    order = Sequences.of(acts)
    length = frames_of_items(order, frames)
    wave = target == "sample" and form == "wave"
    parts = Parts.of(order, *split(order, labels, test_share, rng), length, wave)
    with one_thread():
        if target == "site":
            aim = targets.of_site(acts, others)
        else:
            assert samples is not None
            aim = targets.of_samples(samples, acts.rows, order, form, rate, bands, length, pixels)
        latents = latents_of(acts, targets.logvar_of(acts, others) if sampled else None)
        wave = aim.stack is not None  # images have no form
        width = channels if wave else hidden
        how = Training(decoder, width, epochs or EPOCHS[wave], lr, BATCH[wave], alpha, seed)
        on = measured_on(trained(latents, aim, parts, how, loss), latents, aim, parts, units, seed)
        active = active_units(latents, parts)
        head = _head(errors_of(on.view, latents, aim, parts, seed), active)
        said = remarks(on, head, order, frames)
        if not head["informative"]:
            return _uninformative(head, on, active, said)
        if sampled and latents.logvar is None:
            said += of_posterior(acts.site, on)
        chosen = measured.pairs(len(on.items), pairs, on.generator)
        return _informative(head, on, chosen, steps, active, said)


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


def _some(
    acts: Activations, others: Others | None, labels: Labels | None, most: int,
    rng: np.random.Generator,
) -> tuple[Activations, Others | None, Labels | None]:  # fmt: skip
    """Keep no more rows than `most`, in whole samples, before any is read."""
    kept = np.sort(Sequences.of(acts).some(most, rng).rows)
    if len(kept) == len(acts):
        return acts, others, labels
    if others is not None:  # sites of other rows are refused later, where they are wanted
        same = [one.take(kept) if one.rows.same_places(acts.rows) else one for one in others.sites]
        others = Others.of(*same, names=others.names, bases=others.bases)
    return acts.take(kept), others, None if labels is None else labels.take(kept)


def _head(errors: dict[str, Any], active: NDArray[np.bool_] | None) -> dict[str, Any]:
    """Return the columns of `Summary` that every result has."""
    count = None if active is None else int(active.sum())
    told = errors["informative"] and count != 0
    return errors | {"informative": told, "active": count, "gate": gate(errors["r2"], active)}


def _uninformative(
    head: Mapping[str, Any], on: Measured, active: NDArray[np.bool_] | None, said: list[str]
) -> Result:
    names = ("area", "dead", "prior", "fitted", "midpoint", "linearity", "matched", "path_length")
    missing: dict[str, Any] = dict.fromkeys(names)
    tables = {
        "summary": Summary(**head, **missing),
        "dimensions": measured.dimensions(on, None, active),
        "curve": [], "realism": [], "paths": [], "strips": [],
    }  # fmt: skip
    return Result(tables, strips.nothing(), said)


def _informative(
    head: Mapping[str, Any], on: Measured, chosen: Ints, steps: int,
    active: NDArray[np.bool_] | None, said: list[str],
) -> Result:  # fmt: skip
    effect = measured.traversals(on)
    dims = measured.dimensions(on, effect, active)
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
