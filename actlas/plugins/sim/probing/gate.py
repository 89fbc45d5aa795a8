"""The informativeness gate: whether there is anything to interpret, and what is wrong if not."""

from collections.abc import Sequence
from dataclasses import dataclass

from actlas import Result

from .gaussian import Laws, Posterior
from .tables import Factor

DECODED = "sim_decode"
DECODES = 0.05  # R² above which a decoder has found something
PRIOR = 0.1  # nats a dimension; the method's modules without an active unit kept 0.07 at most


@dataclass(frozen=True)
class Decoder:
    """What a stored decoder of the site explains. trained_on: means or samples of posteriors."""

    r2: float
    trained_on: str

    @classmethod
    def of(cls, base: Result | None) -> "Decoder | None":
        """Read it from the result of sim_decode, if there is one."""
        if base is None:
            return None
        summary = next(iter(base.tables[f"{DECODED}_summary"]))
        return cls(float(summary["r2"]), str(summary["trained_on"]))

    def counts(self, posterior: Posterior | None) -> bool:
        """Whether it read what the probes read: means of a collapsed posterior are decoded too."""
        return posterior is None or self.trained_on == "samples"


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    informative: whether anything is interpreted; None where that is not known. smooth: whether
    closeness to N(0, I) is, too. said: in words, the first of them one of `Summary.gate`.
    """

    informative: bool | None
    smooth: bool
    said: str


def judged(laws: Laws, factors: Sequence[Factor] | None, decoder: Decoder | None) -> Verdict:
    """Judge rows: a factor is read, and a unit is active or a decoder finds something (I0)."""
    post, heard = laws.posterior, _heard(laws.posterior, decoder)
    decodes = decoder is not None and decoder.counts(post) and decoder.r2 > DECODES
    collapsed = "" if decodes else _collapsed(laws)
    if collapsed:
        return Verdict(False, False, f"collapsed: {collapsed}{heard}")
    if factors is None:
        return Verdict(None, False, f"not judged: there are no factors{_units(laws)}{heard}")
    read = [factor.factor for factor in factors if factor.readable]
    if not read:
        said = "uninformative: no factor is read above chance"
        return Verdict(False, False, f"{said}{_units(laws)}{heard}")
    found = f"{', '.join(read)} above chance"
    lost = [factor.factor for factor in factors if not factor.readable]
    found += f", not {', '.join(lost)}" if lost else ""
    if not decodes and (_still(post) or (post is None and decoder is not None)):
        why = _inactive(laws) if post is not None else "yet a decoder finds nothing"
        return Verdict(False, False, f"uninformative: {found}, {why}{heard}")
    half = 2 * _alive(laws) <= len(laws.law.mean)
    word = "partly collapsed" if half else "informative"
    return Verdict(True, not half, f"{word}: {found}{_units(laws)}{heard}")


def _collapsed(laws: Laws) -> str:
    """Say how rows have collapsed: nothing varies, or posteriors are the prior; else nothing."""
    width, post = len(laws.law.mean), laws.posterior
    if laws.law.dead.all():
        return "no dimension varies"
    if post is None or post.active or post.rate.sum() > PRIOR * width:
        return ""
    return (
        f"posteriors are the prior (rate {post.rate.sum():.2g} nats of {width} dimensions, no "
        f"mean varies by more than 0.01)"
    )


def _still(post: Posterior | None) -> bool:
    return post is not None and post.active == 0


def _alive(laws: Laws) -> int:
    """Active units where posteriors are known, else dimensions that vary."""
    return int((~laws.law.dead).sum()) if laws.posterior is None else laws.posterior.active


def _units(laws: Laws) -> str:
    """Say how many dimensions live, where not all must."""
    width, post = len(laws.law.mean), laws.posterior
    if post is not None and not post.active:
        return f"; {_inactive(laws)}"
    if post is not None:
        return f"; {post.active} of {width} units are active"
    dead = int(laws.law.dead.sum())
    return f"; {dead} of {width} dimensions do not vary" if dead else ""


def _inactive(laws: Laws) -> str:
    post = laws.posterior
    assert post is not None
    return (
        f"no posterior mean varies by more than 0.01, though posteriors are not the prior (rate "
        f"{post.rate.mean():.2g} nats a dimension): untrained, or means of another scale"
    )


def _heard(post: Posterior | None, decoder: Decoder | None) -> str:
    """Say what a decoder explains, and whether that counts."""
    if decoder is None:
        return f"; no decoder ({DECODED}) was run here"
    explains = f"; a decoder explains {max(decoder.r2, 0):.1%}"
    return explains if decoder.counts(post) else f"{explains} from means, which is no evidence"
