"""`actlas sql`."""

import click

from .common import json_option, print_columns, store_option


@click.command()
@click.argument("query")
@click.option("--limit", type=click.IntRange(1), help="Print at most so many rows.")
@store_option
@json_option
def sql(query: str, limit: int | None, store: str | None, as_json: bool) -> None:
    """Run one SELECT; the database is opened so that it refuses to write."""
    from .. import api

    with api.open(store, create=False) as opened:
        names, rows = opened.database.select(query, limit)
    print_columns(names, rows, as_json)
