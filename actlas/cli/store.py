"""`actlas store init|info|upgrade`."""

import click

from .common import json_option, print_record, store_option


@click.group()
def store() -> None:
    """Make, inspect and upgrade a store."""


@store.command()
@store_option
@json_option
def init(store: str | None, as_json: bool) -> None:
    """Make an empty store; one that is there is left as it is."""
    from .. import api

    with api.open(store) as opened:
        print_record({"store": opened.url, "schema": api.HEAD}, as_json)


@store.command()
@store_option
@json_option
def info(store: str | None, as_json: bool) -> None:
    """Show the schema version and the number of rows of every table."""
    from .. import api

    with api.open(store, create=False) as opened:
        sizes = [{"table": name, "rows": n} for name, n in opened.database.sizes().items()]
        print_record({"store": opened.url, "schema": api.HEAD, "tables": sizes}, as_json)


@store.command()
@store_option
@json_option
def upgrade(store: str | None, as_json: bool) -> None:
    """Bring a store of an older actlas to this one's schema."""
    from .. import api

    print_record(api.upgrade(store), as_json)
