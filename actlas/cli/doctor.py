"""`actlas doctor` and `actlas demo`."""

import os
import shutil
import sys
from pathlib import Path

import click

from .common import json_option, print_json, print_rows, store_option
from .extract import say_plan


@click.command()
@store_option
@json_option
def doctor(store: str | None, as_json: bool) -> None:
    """Show what is installed, which devices there are, and what is missing."""
    from .. import api

    print_rows(api.doctor(store), as_json)


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where the store and the report go.",
)
@json_option
def demo(folder: Path, as_json: bool) -> None:
    """Run the main job on a real model and 1,200 labelled sentences, offline."""
    from .. import api

    made = api.run_demo(folder, lambda said: click.echo(said, err=True), say_plan)
    with made.store:
        tables = {name: api.headlines(runs) for name, runs in made.runs.items()}
        paths = {"store": made.store.url, "report": str(made.report.resolve())}
        if as_json:
            print_json(paths | {"extraction": made.extraction.id, "runs": tables})
            return
        for name, rows in tables.items():
            analysis = api.get(made.runs[name][0].record.analysis)
            click.echo(f"\n{name}: {analysis.summary}")
            print_rows(rows, False)
    click.echo("\n".join(f"{what:<6}  {where}" for what, where in paths.items()))
    click.echo(f"next    {_command()} sql --store '{paths['store']}' \"{EXAMPLE}\"")


def _command() -> str:
    """How to type `actlas` here: inside a virtual environment that is not active, with its path."""
    beside = Path(sys.executable).with_name("actlas")
    return "actlas" if shutil.which("actlas") else os.path.relpath(beside)


EXAMPLE = (
    "SELECT r.site, c.label, c.recall, c.confused_with FROM probe_classes c "
    "JOIN runs r ON r.id = c.run_id ORDER BY c.recall LIMIT 10"
)
