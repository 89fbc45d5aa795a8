"""`actlas store init|info|upgrade|verify|gc|copy`."""

import click

from .common import json_option, print_json, print_record, store_option


@click.group()
def store() -> None:
    """Make, inspect, check, clean, copy and upgrade a store."""


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


@store.command()
@store_option
@click.option("--extraction", metavar="N", help="Only this extraction.")
@json_option
@click.pass_context
def verify(
    context: click.Context, store: str | None, extraction: str | None, as_json: bool
) -> None:
    """Read everything and list what is damaged or does not fit; exit status 1 if anything is.

    Bytes are compared with their checksums, indexes with the rows, counts with what they
    count, texts and labels with their digests.
    """
    from .. import api

    found = []
    with api.open(store, create=False) as opened:
        for fault in api.verify_store(opened, extraction, progress=not as_json):
            found.append(api.fault_record(fault))
            if not as_json:
                click.echo(str(fault))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no faults")
    context.exit(1 if found else 0)


@store.command()
@store_option
@click.option("--failed", metavar="DAYS", type=click.IntRange(0), help="Failed runs so old.")
@click.option("--unused", is_flag=True, help="Models and data sets that no extraction uses.")
@click.option("--incomplete", is_flag=True, help="Extractions and sites that lack samples.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def gc(
    store: str | None,
    failed: int | None,
    unused: bool,
    incomplete: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove bytes that nothing names and claims of dead processes, and what is asked for.

    What somebody is at work on is left, and models and data sets less than ten minutes old.
    """
    from .. import api

    with api.open(store, create=False) as opened:
        removed = api.clean_store(
            opened, failed_days=failed, unused=unused, incomplete=incomplete, dry_run=dry_run
        )
        print_record(removed, as_json)


@store.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--extraction", "extractions", metavar="N", type=int, multiple=True,
    help="Only this extraction, its model, data set and runs; may be repeated.",
)  # fmt: skip
@json_option
def copy(source: str, target: str, extractions: tuple[int, ...], as_json: bool) -> None:
    """Copy a store into another, on SQLite or PostgreSQL; killed, the same command goes on.

    What the target holds already is not written again, so stores can be merged too. Every
    chunk is compared with its checksum on the way. Sites that lack samples stay behind.
    """
    from .. import api

    chosen = list(extractions) or None
    print_record(api.copy_store(source, target, chosen, progress=not as_json), as_json)
