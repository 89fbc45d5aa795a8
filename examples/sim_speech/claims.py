"""The claims, each judged by several trainings of every kind."""

from collections.abc import Callable, Sequence

import numpy as np

from examples.common import verdicts
from examples.common.verdicts import Estimate, Verdict, Word

from .measures import (
    CLEARLY,
    COLLAPSED,
    CPC,
    GIM,
    LEARNT,
    RANDOM,
    SIM,
    SUPERVISED,
    Measures,
    difference,
    over_seeds,
    ratio,
)

KL_BAR, TC_BAR, AREA_BAR, MARGIN = 0.5, 0.3, 0.8, 0.05
SEEDS = "Intervals: Student's t over seeds; networks of a seed see the same batches."
CALLED = {
    ("syllables", "word"): "syllable", ("digits", "word"): "digit", ("", "voice"): "speaker",
    ("", "f0"): "pitch (f0)", ("", "tract"): "length of the vocal tract",
}  # fmt: skip
Compare = Callable[[Sequence[float], Sequence[float]], Estimate]


def claims(found: Measures) -> list[Verdict]:
    """Judge what the paper says, and what the specification expects."""
    return [
        *_competitive(found),
        _below(found, "marginal KL", KL_BAR, "nearer to a standard normal",
               "Mean over dimensions of KL(N(m, s²) ‖ N(0, 1)), nats."),
        _realism(found, "prior", "fewer holes: samples of N(0, I) decode to what could be real"),
        _realism(found, "midpoint", "smoother ways: what lies half-way between two latents "
                 "decodes to what could be real"),
        _below(found, "total correlation", TC_BAR, "less entangled (total correlation)",
               "Gaussian total correlation, bias-corrected, nats. It is 0 for any rotation of "
               "N(0, I): low entanglement in this sense does not give dimensions a meaning."),
        _aligned(found),
        _below(found, "ICS area", AREA_BAR, "more concentrated in few dimensions as a decoder "
               "sees it (area under the interpolation contribution score)",
               "It depends on the decoder and on the variances of dimensions."),
        _concentrated(found),
        _active(found),
        _learns(found),
        _beats_untrained(found),
    ]  # fmt: skip


def controls(found: Measures) -> list[Verdict]:
    """Judge what must come out if measures do what they say."""
    return [_collapse(found), _supervised(found), _consonants(found)]


def judged(estimates: Sequence[Estimate], above: float) -> Word:
    """Judge a claim that all lie above a threshold; without intervals nobody can."""
    known = all(np.isfinite([one.value, one.low, one.high]).all() for one in estimates)
    return verdicts.judged(estimates if known else [], above)


def negative(one: Estimate) -> Estimate:
    """The same with its sign turned, for claims that something lies below."""
    return Estimate(-one.value, -one.high, -one.low)


def compared(
    found: Measures, measure: str, by: Compare, one: str = SIM, other: str = GIM
) -> dict[str, Estimate]:
    """Compare two kinds at each module where both were measured."""
    pairs = {m: (found.of(measure, one, m), found.of(measure, other, m)) for m in found.modules}
    return {m: by(a, b) for m, (a, b) in pairs.items() if a and len(a) == len(b)}


def listed(estimates: dict[str, Estimate]) -> str:
    """Estimates by module."""
    return ", ".join(f"{module} {one}" for module, one in estimates.items())


def gated(found: Measures, word: Word) -> tuple[Word, str]:
    """Take back a verdict on SIM where a module has collapsed: it would look better than it is."""
    ill = {module: found.ill(SIM, module) for module in found.modules}
    said = "; ".join(f"{module}: {', '.join(of)}" for module, of in ill.items() if of)
    return ("not testable here", f" Collapsed: {said}.") if said else (word, "")


def _below(found: Measures, measure: str, bar: float, what: str, why: str) -> Verdict:
    ratios = compared(found, measure, ratio)
    word, gate = gated(found, judged([negative(one) for one in ratios.values()], -bar))
    return Verdict(
        f"SIM's latents are {what} than GIM's.",
        f"SIM over GIM: {listed(ratios)}; SIM {found.said(measure, SIM)}, GIM "
        f"{found.said(measure, GIM)}, CPC {found.said(measure, CPC)}, random "
        f"{found.said(measure, RANDOM)}",
        f"{bar}: at most so much of GIM's in every module",
        word, f"{why} {SEEDS}{gate}",
    )  # fmt: skip


def _realism(found: Measures, what: str, said: str) -> Verdict:
    """Judge by how far from 1 the ratio of distances is, on either side."""
    gaps = compared(found, f"{what} log ratio", difference)
    fair = compared(found, f"{what} log ratio, fitted", difference)
    word, gate = gated(found, judged([negative(one) for one in gaps.values()], 0.0))
    fitted = f"; against a normal fitted to each space {listed(fair)}" if fair else ""
    return Verdict(
        f"SIM's latent space has {said}.",
        f"|log ratio|, SIM less GIM: {listed(gaps)}{fitted}. Ratio: SIM "
        f"{found.said(f'{what} realism', SIM)}, GIM {found.said(f'{what} realism', GIM)}",
        "0 (a ratio of 1 is as real as decoded clips; above 1.2 there are holes)",
        word,
        f"Ratio: mean distance to the nearest real frame of what is decoded, over that of decoded "
        f"latents of clips. GIM never promised a standard normal; one fitted to its space is "
        f"fairer to it. {SEEDS}{gate}",
    )  # fmt: skip


def _competitive(found: Measures) -> list[Verdict]:
    """Judge every factor read from mean-pooled frames at the last module."""
    last = found.modules[-1:]
    made = []
    for measure in found.named("accuracy: "):
        factor = measure.removeprefix("accuracy: ")
        known = CALLED.get((found.corpus, factor), CALLED.get(("", factor), factor))
        gaps = compared(found, measure, difference)
        at = [gaps[module] for module in last if module in gaps]
        unsure = any(one.low <= -MARGIN < one.value for one in at)
        wide = " The mean is within the margin; the seeds are too few to be sure." * unsure
        others = ", ".join(
            f"{kind} {found.said(measure, kind)}" for kind in (SIM, GIM, CPC, SUPERVISED, RANDOM)
        )
        made.append(Verdict(
            f"SIM is competitive with GIM on the {known}.",
            f"{'R²' if factor in ('f0', 'tract') else 'accuracy'}, SIM less GIM: {listed(gaps)}; "
            f"by module {others}; chance {found.said(f'majority: {factor}', SIM)}",
            f"−{MARGIN} at the last module (the paper: −.03 vowels, −.05 syllables)",
            judged(at, -MARGIN),
            f"Probes of frames averaged over each clip, tested on groups they have not seen. "
            f"{SEEDS}{wide}",
        ))  # fmt: skip
    return made


def _aligned(found: Measures) -> Verdict:
    scores = ("disentanglement", "completeness", "MIG", "SAP")
    gaps = {name: compared(found, f"{name} excess", difference) for name in scores}
    said = "; ".join(f"{name} {listed(by)}" for name, by in gaps.items())
    means = "; ".join(
        f"{name} SIM {found.said(f'{name} excess', SIM)}, GIM {found.said(f'{name} excess', GIM)}"
        for name in scores
    )
    word, gate = gated(found, judged([one for by in gaps.values() for one in by.values()], 0.0))
    return Verdict(
        "SIM's dimensions are better disentangled: each says one factor.",
        f"excess over random rotations, SIM less GIM: {said}. Excess: {means}",
        "0 in every score and module",
        word,
        f"A normal prior is the same for every rotation, so that nothing in the loss asks for "
        f"this. {SEEDS}{gate}",
    )


def _concentrated(found: Measures) -> Verdict:
    """Judge the earlier abstract's claim by importances of probes."""
    gaps = compared(found, "Gini excess", difference)
    mine = {m: over_seeds(found.of("Gini excess", SIM, m)) for m in gaps}
    word, gate = gated(found, judged(list(gaps.values()), 0.0))
    return Verdict(
        "What SIM knows of factors is concentrated in fewer dimensions (Gini of importances).",
        f"excess over random rotations, mean over readable factors, SIM less GIM: {listed(gaps)}; "
        f"SIM itself {listed(mine)}; random init {found.said('Gini excess', RANDOM)}; Gini as it "
        f"is: SIM {found.said('Gini', SIM)}, GIM {found.said('Gini', GIM)}, random "
        f"{found.said('Gini', RANDOM)}",
        "0",
        word,
        f"Not robust: it goes with the probe's penalty and with how well a factor is read; the "
        f"published histograms of weights do not tell SIM from CPC. {SEEDS}{gate}",
    )


def _active(found: Measures) -> Verdict:
    shares = {m: over_seeds(found.of("active share", SIM, m)) for m in found.modules}
    least = [min(found.of("active share", SIM, m), default=np.nan) for m in found.modules]
    return Verdict(
        "More than half of SIM's units are active in every module and seed.",
        f"share of units whose posterior mean has a variance above .01: {listed(shares)}; rate "
        f"{found.said('rate', SIM, 1)} nats a frame",
        "0.5",
        "supported" if min(least) > 0.5 else "not supported",
        "Judged by the least seed of each module.",
    )


def _learns(found: Measures) -> Verdict:
    worst = [max(found.of("nce", SIM, m), default=np.nan) for m in found.modules]
    return Verdict(
        "No module of SIM stays at log(N + 1): all learn to tell the future from other frames.",
        f"InfoNCE at the end: SIM {found.said('nce', SIM)}, GIM {found.said('nce', GIM)}, CPC "
        f"at its end {found.mean('nce', CPC, 'context'):.2f} nats; worst seed of SIM "
        f"{max(worst):.2f}",
        f"{LEARNT} (log 11 = 2.40)",
        "supported" if max(worst) < LEARNT else "not supported",
        "Judged by the worst seed of each module.",
    )


def _beats_untrained(found: Measures) -> Verdict:
    gaps = {
        measure.removeprefix("accuracy: "): compared(found, measure, difference, SIM, RANDOM)
        for measure in found.named("accuracy: ")
    }
    every = [one for by in gaps.values() for one in by.values()]
    return Verdict(
        "Training helps: factors are read better from SIM than from the same network untrained.",
        "; ".join(f"{factor} {listed(by)}" for factor, by in gaps.items()),
        "0 for every factor and module",
        judged(every, 0.0),
        f"The published probe puts random weights at chance; one that is standardised and has "
        f"converged does not. {SEEDS}",
    )


def _collapse(found: Measures) -> Verdict:
    """The gate must find a collapse that every other number would praise."""
    ill = {m: found.ill(COLLAPSED, m) for m in found.modules if found.of("nce", COLLAPSED, m)}
    said = "; ".join(f"{m}: {', '.join(of) or 'healthy'}" for m, of in ill.items())
    caught = bool(ill) and all(ill.values())
    return Verdict(
        "A collapse is not taken for success: with β far too large the gate says so.",
        f"{said}. Much would look better than health: marginal KL "
        f"{found.said('marginal KL', COLLAPSED, 3)} (SIM {found.said('marginal KL', SIM, 3)}), "
        f"total correlation {found.said('total correlation', COLLAPSED)} (SIM "
        f"{found.said('total correlation', SIM)}), prior realism "
        f"{found.said('prior realism', COLLAPSED)} (SIM {found.said('prior realism', SIM)}); but "
        f"decoder error {found.said('decoder error', COLLAPSED)} (SIM "
        f"{found.said('decoder error', SIM)})",
        f"active units at most half, InfoNCE {LEARNT} or more, or decoder error {CLEARLY} or more",
        "supported" if caught else "not supported" if ill else "not testable here",
        "Without this gate the numbers above could be those of a network that says nothing.",
    )


def _supervised(found: Measures) -> Verdict:
    gaps = compared(found, "accuracy: word", difference, SUPERVISED, RANDOM)
    at = [gaps[m] for m in found.modules[-1:] if m in gaps]
    return Verdict(
        "A network trained on what is said reads it better than an untrained one.",
        f"accuracy, supervised less random init: {listed(gaps)}",
        "0 at the last module",
        judged(at, 0.0),
        f"If this failed, the probes could not tell what a network has learnt. {SEEDS}",
    )


def _consonants(found: Measures) -> Verdict:
    onset, mean = "onset: consonant", "accuracy: consonant"
    gaps = {
        m: difference(found.of(onset, SIM, m), found.of(mean, SIM, m))
        for m in found.modules
        if found.of(onset, SIM, m)
    }
    return Verdict(
        "Consonants are short: their first 0.12 s say more of them than the whole.",
        f"accuracy of SIM, onset less mean: {listed(gaps)}; onset SIM {found.said(onset, SIM)}, "
        f"GIM {found.said(onset, GIM)}, random {found.said(onset, RANDOM)}",
        "0",
        judged(list(gaps.values()), 0.0),
        f"A low accuracy from averaged frames does not say that a network has lost them. {SEEDS}",
    )
