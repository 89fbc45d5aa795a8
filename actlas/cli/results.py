"""`actlas results RUN`."""

import click

from .common import json_option, print_json, print_rows, store_option


@click.command()
@click.argument("run")
@click.argument("table", required=False)
@click.option(
    "--wav",
    "folder",
    metavar="FOLDER",
    help="Write the sounds of RUN there, instead of printing tables.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Rows of each table; --json prints all.",
)
@store_option
@json_option
def results(
    run: str, table: str | None, folder: str | None, limit: int, store: str | None, as_json: bool
) -> None:
    """Print the tables of RUN, or one TABLE of it; or write its sounds."""
    from .. import api

    with api.open(store, create=False) as opened:
        if folder is not None:
            written = api.write_sounds(opened.result(run).result, folder)
            print_rows([{"file": str(path)} for path in written], as_json)
            return
        tables = api.tables_of(opened.result(run), table)
    if as_json:
        print_json({name: list(found) for name, found in tables.items()})
        return
    for name, found in tables.items():
        more = f", the first {limit}" if len(found) > limit else ""
        click.echo(f"{name} ({len(found)} rows{more})")
        print_rows([row for _, row in zip(range(limit), found, strict=False)], False)
