"""`python -m examples.capacity_toy`: everything, from training to the page."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small keep one core busy

import time
from dataclasses import replace
from pathlib import Path

import click

from .geometry import LARGE
from .page import write_page
from .study import FULL, QUICK


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo/capacity_toy"),
    show_default=True, help="Where everything is put.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Small diagrams, short training: a try.")
@click.option("--large", is_flag=True, help="Also 400 features in 30 dimensions: minutes more.")
def main(folder: Path, quick: bool, large: bool) -> None:
    """Train toy models of superposition over grids of settings, and compare with theory."""
    start = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"[{time.perf_counter() - start:4.0f} s] {line}")

    place = folder / ("quick" if quick else "full")
    place.mkdir(parents=True, exist_ok=True)
    size = QUICK if quick else FULL
    if large:
        size = replace(size, geometry=(*size.geometry, LARGE))
    for one in write_page(place, size, say):
        click.echo(f"{one.verdict:>13}  {one.claim}: {one.measured}")
    say(f"the page is {place / 'report.html'}, every cell is in {place / 'cells.json'}")


if __name__ == "__main__":
    main()
