"""Another analysis of the same distribution, in a module of its own."""

from actlas import Activations, Result, analysis


@analysis(version=1, arrays={"mean": "(width,) mean of the rows"})
def fake_means(acts: Activations) -> Result:
    """Mean of the rows."""
    return Result(arrays={"mean": acts.numpy().mean(axis=0, dtype="float64")})
