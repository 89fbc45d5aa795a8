"""`actlas report`."""

from dataclasses import asdict

import click

from .common import json_option, print_json, store_option


@click.command()
@click.argument("audit", required=False)
@click.option(
    "-o", "--output", default="report.html", show_default=True, metavar="FILE", help="Where to."
)
@click.option(
    "--figures",
    type=click.IntRange(0),
    metavar="N",
    help="Figures of the analyses' own that are drawn, of the highest runs (default: 48).",
)
@store_option
@json_option
def report(
    audit: str | None, output: str, figures: int | None, store: str | None, as_json: bool
) -> None:
    """Write a report of AUDIT (default: the newest) as one page that opens offline.

    It has the leaderboard, curves over layers, similarities, associations, figures and failures,
    each with its data as CSV and its SQL. A report that is there is replaced.
    """
    from ..auditing.report import FIGURES
    from ..auditing.report import report as write
    from ..core import human_bytes

    written = write(audit, output, store=store, figures=FIGURES if figures is None else figures)
    if as_json:
        print_json(asdict(written))
        return
    click.echo(f"{written.path}: audit {written.audit}, {human_bytes(written.size)}")
    for remark in written.remarks:
        click.echo(remark, err=True)
