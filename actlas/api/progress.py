"""Progress on the terminal: how much is done, how fast, how long it will take."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..core import listening

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


@contextmanager
def telling_bar(title: str, total: int, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """A bar over the sites of an analysis, beside it what the analysis tells (`actlas.tell`).

    Gives a function that begins the next site, by its name.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(title), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[site]}"),
        TimeElapsedColumn(), TextColumn("{task.fields[told]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(title, total=total, site="", told="")
        begun = 0

        def begin(name: str) -> None:
            nonlocal begun
            drawn.update(task, completed=begun, site=name, told="")
            begun += 1

        with listening(lambda text: drawn.update(task, told=text)):
            yield begin
