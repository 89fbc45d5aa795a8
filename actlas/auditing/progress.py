"""Progress of an audit on the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .coordinator import Coordinator

LONGEST = 40


@contextmanager
def shown(name: str, total: int, *, progress: bool) -> Iterator[Callable[[Coordinator], None]]:
    """A bar on standard error; nothing where that is no terminal.

    Gives a function that takes the coordinator, whenever a job was begun or settled.
    """
    if not progress or not sys.stderr.isatty():
        yield lambda coordinator: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(f"audit {name}"), BarColumn(20), MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as drawn:
        task = drawn.add_task("", total=total, said="")

        def tell(coordinator: Coordinator) -> None:
            counts = coordinator.jobs.counts()
            done = total - counts["waiting"] - counts["running"]
            failed = f"{counts['failed']} failed · " * (counts["failed"] > 0)
            now = ", ".join(coordinator.running)
            said = now if len(now) <= LONGEST else now[: LONGEST - 1] + "…"
            drawn.update(task, completed=done, said=failed + said)

        yield tell
