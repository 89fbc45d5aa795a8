"""`python -m examples.sim_speech`: everything, from the syllables to the page."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
# Networks are small: a second thread would mostly wait, and sums differ with their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from pathlib import Path

import click

import actlas

from .page import write_page
from .study import FULL, QUICK, Workshop, study


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo/sim_speech"),
    show_default=True, help="Where everything is put; what is there already is used.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of further data: fsdd/ (recordings/*.wav), the Free Spoken Digit Dataset.",
)  # fmt: skip
@click.option(
    "--source", type=click.Choice(["formants", "espeak"]),
    help="Who says the syllables (default: espeak where espeakng-loader is installed).",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True,
    help="Shows that everything runs: the networks hardly learn, so judge no claim.",
)  # fmt: skip
def main(folder: Path, data: Path | None, source: str | None, quick: bool) -> None:
    """Check the claims of Smooth InfoMax (Denoodt et al. 2024) on networks trained here, offline.

    Stop it whenever you like: the same command goes on from the last epoch.
    """
    import torch

    torch.set_num_threads(1)
    start = time.perf_counter()

    def say(line: str) -> None:
        click.echo(f"[{time.perf_counter() - start:4.0f} s] {line}")

    place = folder / ("quick" if quick else "full")
    place.mkdir(parents=True, exist_ok=True)
    digits = None if data is None else data / "fsdd" / "recordings"
    if digits is not None and not digits.is_dir():
        raise click.UsageError(f"no folder {digits}; --data names a folder with fsdd/recordings")
    size = QUICK if quick else FULL
    with actlas.open(str(place / "actlas.db")) as store:
        done = study(Workshop(place, store, size, source, digits, say))  # type: ignore[arg-type]
        verdicts = write_page(done, place, quick)
    for one in verdicts:
        click.echo(f"{one.verdict:>18}  {one.claim}")
    say(f"the page is {place / 'report.html'}, the verdicts are {place / 'verdicts.json'}")


if __name__ == "__main__":
    main()
