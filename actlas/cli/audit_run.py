"""`actlas audit run` and `actlas audit status`."""

from typing import TYPE_CHECKING

import click

from .common import json_option, print_json, store_option

if TYPE_CHECKING:
    from ..auditing import Audited

SECONDS = 1.0  # between looks of --watch


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Jobs at a time (default: as the file says); 0: in this process, one by one.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="tcp://HOST:PORT of a Dask scheduler, or local: a Dask cluster of this machine.",
)
@click.option("--retry-failed", is_flag=True, help="Also do again what would fail again.")
@store_option
@json_option
def run(
    file: str, workers: int | None, scheduler: str | None, retry_failed: bool, store: str | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Do what the audit FILE says, and is not done yet.

    What fails is recorded, and does not stop the rest. Ctrl-C, or whatever else ends it: the same
    command goes on there. Exit status 1 where jobs failed.
    """
    from .. import auditing

    done = auditing.audit(
        file, store=store, workers=workers, scheduler=scheduler, retry_failed=retry_failed,
        progress=True,
    )  # fmt: skip
    if as_json:
        print_json(auditing.audited_record(done))
    else:
        _say(done)
    return 0 if done.ok else 1


def _say(done: "Audited") -> None:
    from .. import auditing

    for job, error in done.failures:
        click.echo(f"failed: {job}: {error}", err=True)
    click.echo(auditing.described(done))


@click.command()
@click.argument("name", required=False)
@click.option("--watch", is_flag=True, help="Show it until nothing is left to do.")
@store_option
@json_option
def status(name: str | None, watch: bool, store: str | None, as_json: bool) -> None:
    """Show how far the audit NAME is (default: the newest), a mark for each job."""
    from .. import api, auditing

    with api.open(store, create=False) as opened:
        if as_json:
            print_json(auditing.status_record(auditing.status(opened, name)))
        elif watch:
            auditing.watch(opened, name, SECONDS)
        else:
            auditing.show(auditing.status(opened, name))
