"""Progress on the terminal: rows, rows a second, time left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Told how much of the work is done."""

    def __call__(self, done: int, total: int, rows: int) -> None:
        """Take samples done, samples in all, and rows so far."""


def silent(done: int, total: int, rows: int) -> None:
    """Show nothing."""


@contextmanager
def bar(title: str, *, shown: bool = True) -> Iterator[Progress]:
    """A progress bar on standard error; nothing where that is no terminal."""
    if not shown or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows · {task.fields[rate]:,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown_bar:
        task = shown_bar.add_task(title, rows=0, rate=0.0)

        def update(done: int, total: int, rows: int) -> None:
            elapsed = shown_bar.tasks[0].elapsed or 1e-9
            shown_bar.update(task, completed=done, total=total, rows=rows, rate=rows / elapsed)

        yield update
