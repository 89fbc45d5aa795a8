"""`actlas audit`: many models, one file: to begin with, what it comes to, how audits differ."""

import click

from .audit_run import run, status
from .common import json_option, print_json, print_record, print_rows, store_option

SHOWN_ROWS = 40


@click.group()
def audit() -> None:
    """Audit many models: the same data and analyses over all, from one TOML file."""


for command in (run, status):
    audit.add_command(command)


@audit.command()
@click.argument("file", default="audit.toml", type=click.Path(dir_okay=False))
@json_option
def new(file: str, as_json: bool) -> None:
    """Write a commented audit FILE (default: audit.toml) that runs as it is."""
    from .. import auditing

    path = str(auditing.write_template(file))
    print_record({"written": path, "next": f"actlas audit check {path}"}, as_json)


@audit.command()
@click.argument("file", default="audit.toml", type=click.Path(dir_okay=False))
@store_option
@json_option
def check(file: str, store: str | None, as_json: bool) -> None:
    """Check an audit FILE: what it would compute, what is there, what it takes.

    No model is loaded. Times are those of the same analyses in the store, one job after the other.
    """
    from .. import auditing

    found = auditing.check(file, store=store)
    if as_json:
        print_json(auditing.checked_record(found))
        return
    print_rows(auditing.checked_rows(found), False)
    for line in auditing.checked_lines(found):
        click.echo(line)


@audit.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--audit", "name", metavar="NAME", help="A and B are models of this audit.")
@store_option
@json_option
def diff(one: str, other: str, name: str | None, store: str | None, as_json: bool) -> None:
    """Show which numbers differ between the audits A and B, the largest change first.

    Changes are relative to the larger of both numbers.
    """
    from .. import api, auditing

    with api.open(store, create=False) as opened:
        found = auditing.diff(opened, one, other, audit=name)
    if as_json:
        print_json(auditing.differences_record(found))
        return
    rows = auditing.differences_rows(found)
    if rows:
        print_rows(rows[:SHOWN_ROWS], False)
    if len(rows) > SHOWN_ROWS:
        click.echo(f"… {len(rows) - SHOWN_ROWS} more (--json lists them)")
    for line in auditing.differences_lines(found):
        click.echo(line)
