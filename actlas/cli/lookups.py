"""`actlas top` and `actlas near`."""

from typing import TYPE_CHECKING, Any, Literal

import click

from .common import json_option, print_json, print_rows, store_option

if TYPE_CHECKING:
    from ..api import Found


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """Read whole numbers separated by commas."""
    try:
        return [int(part) for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no whole number, nor several separated by commas", ctx, param
        ) from error


def print_found(found: "Found", by: Literal["unit", "query"], as_json: bool, empty: str) -> None:
    """Print hits as a table, or everything about them as JSON."""
    from dataclasses import asdict

    from .. import api

    if as_json:
        own = ("unit", "query")
        hits = [{n: v for n, v in asdict(h).items() if n == by or n not in own} for h in found]
        print_json(asdict(found) | {"hits": hits})
        return
    print_rows(api.hit_records(found, by), False, empty)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    said = {"index": "exact from index", "scan": "exact, by a scan"}[found.source]
    click.echo(f"{said}; {found.site} of extraction {found.extraction}", err=True)


@click.command()
@click.option("--site", help="One site: a name, or a negative index (default: the run's).")
@click.option(
    "--unit",
    "units",
    required=True,
    callback=numbers,
    metavar="N,…",
    help="Unit, or several; −1: last.",
)
@click.option("-k", "--most", "k", type=click.IntRange(1),
              help="Rows a unit (default: 20, with --threshold all).")  # fmt: skip
@click.option("--low", is_flag=True, help="The lowest values instead of the highest.")
@click.option("--threshold", type=float, metavar="X",
              help="Only values of at least X (with --low: at most X).")  # fmt: skip
@click.option("--run", "run_", metavar="ID", help="With --array: values along its directions.")
@click.option("--array", metavar="NAME", help="Array of the run, one direction a unit.")
@click.option("--extraction", metavar="ID",
              help="Extraction (default: the run's, else the newest).")  # fmt: skip
@store_option
@json_option
def top(
    site: str | None, units: list[int], k: int | None, low: bool, threshold: float | None,
    run_: str | None, array: str | None, extraction: str | None, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the tokens with the highest (or lowest) values of a unit, in their texts.

    The answer is exact. It comes from an index without reading the matrix where the index
    reaches that far (64 rows at each end), else from a scan. With --run and --array the values
    are those of the rows along a direction that an analysis has found, by a scan.
    """
    from .. import api

    with api.open(store, create=False) as opened:
        found = api.top_of(
            opened, site, units, k, run=run_, array=array, extraction=extraction,
            end="low" if low else "high", threshold=threshold,
        )  # fmt: skip
        print_found(found, "unit", as_json, "no value reaches the threshold")


@click.command()
@click.option(
    "--row", "rows", required=True, callback=numbers, metavar="N,…", help="Row, or several."
)
@click.option("--site", required=True, help="One site: a name, or a negative index (layers.-1).")
@click.option(
    "-k", "--most", "k", type=click.IntRange(1), default=10, show_default=True, help="Rows a query."
)
@click.option("--metric", type=click.Choice(["cosine", "euclidean"]), default="cosine",
              show_default=True, help="Cosine similarity or Euclidean distance.")  # fmt: skip
@click.option("--other", metavar="[ID:]SITE", help="Look in this site instead.")
@click.option("--other-samples", is_flag=True, help="Leave out rows of the same sample.")
@click.option("--keep-self", is_flag=True, help="Do not leave out the row itself.")
@click.option("--extraction", metavar="ID", help="Extraction (default: the newest).")
@store_option
@json_option
def near(rows: list[int], store: str | None, as_json: bool, **options: Any) -> None:
    """Show the rows nearest to a row; exact, by a scan in bounded memory."""
    from .. import api

    with api.open(store, create=False) as opened:
        found = opened.near(rows=rows, **options)
        print_found(found, "query", as_json, "nothing else is there")
