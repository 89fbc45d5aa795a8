"""`actlas plugins list|new|check`."""

from pathlib import Path

import click

from .common import json_option, print_record, print_rows


@click.group()
def plugins() -> None:
    """List, write and check analyses."""


plugin_option = click.option(
    "--plugin", multiple=True, metavar="FILE", help="Python file with more."
)


@plugins.command("list")
@plugin_option
@json_option
def list_(plugin: tuple[str, ...], as_json: bool) -> None:
    """List every analysis and loader; those that do not load, with their error."""
    from .. import api

    print_rows(api.plugin_list(plugin), as_json)


@plugins.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to (default: ./actlas-NAME)."
)
@json_option
def new(name: str, folder: Path | None, as_json: bool) -> None:
    """Write a new distribution with one analysis, its test and a README."""
    from .. import testing

    made = testing.scaffold(name, folder or Path(f"actlas-{name.replace('_', '-')}"))
    then = f"pip install -e {made} && actlas plugins check {name}"
    print_record({"folder": str(made), "next": then}, as_json)


@plugins.command()
@click.argument("name")
@plugin_option
@json_option
def check(name: str, plugin: tuple[str, ...], as_json: bool) -> None:
    """Run the conformance kit on an analysis; exit status 1 where a check fails."""
    from .. import api, testing

    outcomes = testing.outcomes(api.find(name, plugin))
    print_rows(outcomes, as_json)
    if any(outcome["outcome"] == "failed" for outcome in outcomes):
        click.get_current_context().exit(1)
