"""Placeholder until merged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """One site's comparison."""

    site: str
    difference: float
    tolerance: float
    against: str
