"""A job with what the planning of others asks of it."""

from dataclasses import dataclass

from .jobs import Job
from .spec import DataEntry, ModelEntry


@dataclass(frozen=True)
class Cell:
    """An extraction: model × data set × how rows are made (`rows` names all that)."""

    model: ModelEntry
    data: DataEntry
    pooling: str
    rows: str


@dataclass(frozen=True)
class Planned:
    """A job; tail: its name without its model, equal for equal work on several models.

    sites: what it reads or extracts. labels: the label set that it is made with.
    """

    job: Job
    cell: Cell
    tail: str
    sites: tuple[str, ...]
    labels: str | None = None
