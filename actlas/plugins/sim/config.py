"""Settings of a training of Smooth InfoMax or its relatives, and recipes of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, cast, get_args

from actlas import InputError

Layer = tuple[int, int, int]  # kernel, stride, padding
Kind = Literal["sim", "gim", "cpc", "supervised"]
Head = Literal["gaussian", "mean", "none"]
Reduction = Literal["per_vector", "paper_compat"]
NegativeMode = Literal["shared", "per_step", "sequence"]
Normalise = Literal["data", "clip", "none"]
Short = Literal["error", "pad", "skip"]
Dtype = Literal["float32", "bfloat16"]
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind), "head": get_args(Head), "kl_reduction": get_args(Reduction),
    "negative_mode": get_args(NegativeMode), "normalise": get_args(Normalise),
    "dtype": get_args(Dtype), "short": get_args(Short),
}  # fmt: skip
SIM_MODULES = (((10, 5, 2), (8, 4, 2)), ((4, 2, 2), (4, 2, 2)), ((4, 2, 1),))  # 2 + 2 + 1 layers
GIM_MODULES = tuple((layer,) for module in SIM_MODULES for layer in module)  # each for itself
LEAST: dict[str, float] = {  # counts, and settings that may not be below 0
    "channels": 1, "gru": 0, "steps": 1, "negatives": 1, "window": 2, "batch": 2, "epochs": 0,
    "crop": 1, "rate": 1, "crop_step": 1, "warmup": 0, "beta": 0, "free_bits": 0, "capacity": 0,
    "inputs": 1,
}  # fmt: skip


@dataclass(frozen=True)
class SimConfig:
    """Everything that a training and its network depend on but the data; `config.json` has it.

    kind: sim (Gaussian heads and a KL term), gim (means only), cpc (one loss at the end), or
        supervised (cross-entropy of classes from the mean of the last site).
    modules: of each module its convolutions (kernel, stride, padding).
    inputs: width of what the first convolution reads, 1 of a waveform.
    channels: C, of every convolution. gru: width of a GRU after the last module, 0 for none; a
        module of its own, or the end of cpc. remove_bptt: no gradient from frame to frame in it.
    head: what gives a module's output: gaussian and mean are 1×1 convolutions without ReLU, none
        is the last ReLU itself. batch_norm: after every convolution.
    logvar_bias: of the log-variance at the start. logvar_clamp: largest |log-variance|.
    steps: K, future frames that are predicted. negatives: N. window: T', most frames scored.
    negative_mode: shared (permutations of all frames of the batch, drawn once), per_step (drawn
        anew for each k, never the positive), sequence (permutations within a clip).
    beta: weight of the KL term. kl_reduction: per_vector (sum over channels, mean over frames) or
        paper_compat (sum over frames, mean over channels). warmup: epochs of linear warm-up.
    free_bits: nats per vector that cost nothing. capacity: nats per vector that the rate is held
        at (then beta weighs its distance), None for none.
    isolated: whether no gradient goes from a module to the one before. train_layer: the only
        module trained, None for all.
    rate: Hz. crop: samples of a clip. random_crop: at a multiple of crop_step, not at the start.
    short: what is done with recordings shorter than the crop: error, pad (zeros at the end, which
        are trained on like sound), or skip.
    normalise: data (mean and standard deviation of all training clips), clip (of each), none.
    held_out: share of the clips that is only measured. dtype: of products in training.
    """

    kind: Kind = "sim"
    modules: tuple[tuple[Layer, ...], ...] = SIM_MODULES
    inputs: int = 1
    channels: int = 32
    gru: int = 0
    remove_bptt: bool = False
    head: Head = "gaussian"
    batch_norm: bool = False
    logvar_bias: float = -4.0
    logvar_clamp: float = 10.0
    steps: int = 10
    negatives: int = 10
    window: int = 64
    negative_mode: NegativeMode = "shared"
    beta: float = 0.01
    kl_reduction: Reduction = "per_vector"
    warmup: int = 10
    free_bits: float = 0.0
    capacity: float | None = None
    isolated: bool = True
    train_layer: int | None = None
    learning_rate: float = 1e-3
    batch: int = 32
    epochs: int = 60
    rate: int = 16_000
    crop: int = 10_240
    random_crop: bool = False
    crop_step: int = 160
    short: Short = "error"
    normalise: Normalise = "data"
    held_out: float = 0.1
    seed: int = 0
    dtype: Dtype = "float32"
    classes: tuple[str, ...] = field(default=())
    model_type: str = "actlas-sim"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; use {' or '.join(known)}")
        _check_numbers(self)
        _check_modules(self.modules)
        _check_kind(self)

    @property
    def gaussian(self) -> bool:
        """Whether modules give distributions."""
        return self.head == "gaussian"

    @property
    def local(self) -> bool:
        """Whether every module has a loss of its own."""
        return self.kind in ("sim", "gim")

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return JSON, as the configurations of transformers do."""
        return json.dumps(asdict(self), indent=1) + "\n"


def _check_numbers(config: SimConfig) -> None:
    for name, least in LEAST.items():
        value = getattr(config, name)
        if value is not None and not (isfinite(value) and value >= least):
            raise InputError(f"{name} is {value}; it is {least:g} or more")
    for name in ("learning_rate", "logvar_clamp"):
        if not (isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise InputError(f"{name} is {getattr(config, name)}; it is above 0")
    if abs(config.logvar_bias) > config.logvar_clamp:
        raise InputError(
            f"logvar_bias is {config.logvar_bias}; within ±logvar_clamp ({config.logvar_clamp})"
        )
    if not 0 <= config.held_out < 1:
        raise InputError(f"held_out is {config.held_out}; a share from 0 to below 1")


def _check_modules(modules: Sequence[Sequence[Layer]]) -> None:
    layers = [layer for module in modules for layer in module]
    good = all(len(one) == 3 and one[0] >= 1 and one[1] >= 1 and one[2] >= 0 for one in layers)
    if not modules or not all(modules) or not good:
        raise InputError(
            "modules is a list of modules, each a list of convolutions [kernel, stride, padding], "
            "such as [[[10,5,2],[8,4,2]],[[4,2,2]]]"
        )


def _check_kind(config: SimConfig) -> None:
    kind, last = config.kind, len(config.modules) + bool(config.gru) - 1
    if (kind == "sim") != config.gaussian:
        said = "needs" if kind == "sim" else "has no use for"
        raise InputError(f"{kind} {said} head gaussian; use {'gim' if kind == 'sim' else 'sim'}")
    if kind != "sim" and config.beta:
        raise InputError(f"beta is {config.beta}, but {kind} has no KL term; leave it at 0")
    if kind == "supervised" and len(config.classes) < 2:
        raise InputError(f"supervised has {len(config.classes)} classes; it needs two or more")
    if config.train_layer is not None and not (config.local and 0 <= config.train_layer <= last):
        raise InputError(
            f"train_layer is {config.train_layer}; of sim or gim a module from 0 to {last}"
        )


RECIPES: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        "channels": 512, "gru": 256, "batch_norm": True, "logvar_bias": 0.0, "window": 128,
        "beta": 0.001, "kl_reduction": "paper_compat", "warmup": 0, "learning_rate": 2e-4,
        "batch": 8, "epochs": 100, "crop": 20_480, "random_crop": True,
    },
    "gim-original": {
        "modules": GIM_MODULES, "channels": 512, "gru": 256, "head": "none", "steps": 12,
        "window": 128, "learning_rate": 2e-4, "batch": 8, "epochs": 1000, "crop": 20_480,
        "random_crop": True,
    },
}  # fmt: skip


def recipe(kind: str, name: str = "small", **changes: Any) -> SimConfig:
    """Return the settings of a recipe for a kind, with changes.

    name: small (32 channels, minutes on two cores), paper (the published configuration, for
        LibriSpeech), or gim-original (Löwe et al. 2019). changes: fields of `SimConfig`.

    The twins of a recipe differ only in what the kind is: gim, cpc and supervised have means and
    no KL term; cpc ends in a GRU. Raises InputError.
    """
    if name not in RECIPES:
        raise InputError(f"no recipe {name!r}; use {', '.join(RECIPES)}")
    settings = dict(RECIPES[name])
    if kind != "sim":
        settings |= {"beta": 0.0, "warmup": 0, "head": settings.get("head", "mean")}
    if kind == "cpc":
        settings["gru"] = settings.get("gru", 32)
    if kind == "supervised":
        settings["gru"] = 0
    unknown = set(changes) - {one.name for one in fields(SimConfig)}
    if unknown:
        raise InputError(f"no setting {sorted(unknown)[0]!r}; see actlas.plugins.sim.SimConfig")
    return SimConfig(**cast(Any, {**settings, "kind": kind, **changes}))


def config_of(stored: dict[str, Any]) -> SimConfig:
    """Make the settings that JSON has, or raise InputError or TypeError."""
    modules = tuple(tuple(tuple(layer) for layer in module) for module in stored["modules"])
    return SimConfig(**{**stored, "modules": modules, "classes": tuple(stored["classes"])})


def differing(one: SimConfig, other: SimConfig) -> list[str]:
    """Name the settings in which two differ."""
    return [f.name for f in fields(SimConfig) if getattr(one, f.name) != getattr(other, f.name)]
