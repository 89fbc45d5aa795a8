"""`python -m examples.decomposition_mt`: everything, from the grammar to the page."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
# Networks are small: a second thread would mostly wait, and sums differ with their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from pathlib import Path

import click

import actlas

from .page import write_page
from .study import Workshop, study
from .training import FULL, QUICK


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo/decomposition_mt"),
    show_default=True, help="Where everything is put; what is there already is used.",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True,
    help="Shows that everything runs: the models hardly learn to translate, so judge no claim.",
)  # fmt: skip
def main(folder: Path, quick: bool) -> None:
    """Check the claims of Mickus & Vázquez (2023) on translation models trained here, offline.

    Stop it whenever you like: the same command goes on from the last checkpoint.
    """
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    start = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"[{time.perf_counter() - start:4.0f} s] {line}")

    place = folder / ("quick" if quick else "full")
    place.mkdir(parents=True, exist_ok=True)
    with actlas.open(str(place / "actlas.db")) as store:
        done = study(Workshop(place, store, QUICK if quick else FULL, say))
        verdicts = write_page(done, place, quick)
    for one in verdicts:
        click.echo(f"{one.verdict:>18}  {one.claim}")
    say(f"the page is {place / 'report.html'}, the verdicts are {place / 'verdicts.json'}")


if __name__ == "__main__":
    main()
