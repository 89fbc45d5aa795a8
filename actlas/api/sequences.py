"""Training encoders of sequences: of stored activations of any site."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..core import InputError
from ..storage import Model
from .samples import stored_samples
from .store import open as open_store
from .store import store_url
from .training import epochs_shown, keep_training, train_speech, training_record


def train_encoder(
    kind: Literal["sim", "gim", "cpc", "supervised"],
    data: str | None,
    folder: str | Path,
    *,
    extraction: int | None = None,
    site: str | None = None,
    store: str | None = None,
    keep: bool = True,
    **options: Any,
) -> Mapping[str, Any]:
    """Train an encoder on recordings (see `train_speech`) or on a stored site.

    data: recordings; of a stored site the folder of its files, where samples are files.
    extraction, site: whose rows are read (see `train_sequences`). store: URL. keep: whether the
    training is kept there.
    """
    if extraction is None and site is None:
        if data is None:
            raise InputError("no recordings; name DATA, or --extraction N and --site SITE")
        return train_speech(kind, data, folder, store=store_url(store) if keep else None, **options)
    if extraction is None or site is None:
        raise InputError("rows of a store need both --extraction N and --site SITE")
    options.pop("reading", None)
    if options.pop("labels", None) or kind == "supervised":
        raise InputError("supervised trains on recordings with labels; use sim, gim or cpc here")
    if options.pop("recipe_name", "small") != "small":
        raise InputError("recipes are for recordings; leave --recipe out")
    return train_sequences(
        kind, extraction, site, folder, store=store, keep=keep, data=data, **options
    )


def train_sequences(
    kind: Literal["sim", "gim", "cpc"],
    extraction: int,
    site: str,
    folder: str | Path,
    *,
    store: str | None = None,
    keep: bool = True,
    data: str | None = None,
    settings: Mapping[str, Any] | None = None,
    start: Path | None = None,
    device: str = "auto",
    force: bool = False,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> Mapping[str, Any]:
    """Train an encoder on the rows of each sample of a stored site, in order.

    extraction: its number in the store, pooled by token. settings: of `SimConfig`; those not given
    are of `SEQUENCE`: modules of one convolution over 3 positions each, hops 1 and 2, clips of 16
    rows, 4 steps ahead. keep: extract the trained encoder from the same samples, one row each, and
    run `sim_training` there. data: folder of the samples' files. The rest is as in `train_speech`.

    The folder loads as `sim:FOLDER`: the model that gave the rows, with the encoder on top.
    """
    from ..plugins.sim import recipe, train_sim
    from ..plugins.sim.sequences import SEQUENCE, site_clips

    told = say or (lambda text: None)
    with open_store(store, create=False) as opened:
        made = opened.extraction(extraction)
        record = made.record
        model = made.database.find(Model, record.model_id)
        if model.spec.startswith("import:"):
            raise InputError(
                f"extraction {extraction} was imported, without a network to put an encoder on; "
                f"choose one of a model"
            )
        dataset = stored_samples(made.database, record, data, "DATA").dataset if keep else None
        acts = made.activations(site)
        config = recipe(kind, inputs=acts.width, **{**SEQUENCE, **dict(settings or {})})
        clips = site_clips(acts, config, spec=model.spec, digest=model.digest, key=record.key)
        for note in clips.notes:
            told(note)
        with epochs_shown(kind, config.epochs, told, progress) as hooks:
            done = train_sim(
                clips, Path(folder), start=start, device=device, force=force, hooks=hooks
            )
        result = training_record(done, "sequence", len(clips))
        if dataset is None:
            return result
        kept = keep_training(opened.url, done, dataset, prefix="sim.", device=device)
        return {**result, **kept}
