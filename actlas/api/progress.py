"""Progress on the terminal: how much is done, how fast, how long it will take."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int, int], None]


@contextmanager
def bar(
    title: str, total: int, noun: str, *, done: int = 0, shown: bool = True
) -> Iterator[Advance]:
    """A progress bar on standard error; nothing where that is no terminal.

    Gives a function that takes how much of `total` more is done, and how many more of `noun`.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda steps, things: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(title, total=total, completed=done, said="")
        counted = 0

        def advance(steps: int, things: int) -> None:
            nonlocal counted
            counted += things
            rate = counted / (drawn.tasks[0].elapsed or 1e-9)
            drawn.update(task, advance=steps, said=f"{counted:,} {noun} · {rate:,.0f}/s")

        yield advance
