"""`python -m examples.convexity_finetuning`: everything, from the data to the page."""

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
from .tasks import FULL, QUICK


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo/convexity_finetuning"),
    show_default=True, help="Where everything is put; what is there already is used.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of further data: clinc150/ (train.jsonl, test.jsonl), fsdd/ (recordings/*.wav).",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer classes, samples and epochs: a try.")
def main(folder: Path, data: Path | None, quick: bool) -> None:
    """Check the claims of Tětková et al. (2025) on convex class regions, offline.

    Networks are pretrained and fine-tuned here. Stop it whenever you like: the same command
    goes on from there.
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
        done = study(Workshop(place, store, QUICK if quick else FULL, data, say))
        verdicts = write_page(done, place, quick)
    for one in verdicts:
        click.echo(f"{one.verdict:>18}  {one.claim}")
    say(f"the page is {place / 'report.html'}, the verdicts are {place / 'verdicts.json'}")


if __name__ == "__main__":
    main()
