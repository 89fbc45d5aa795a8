"""`actlas run ANALYSIS`: one command an analysis, its options from its signature."""

from typing import TYPE_CHECKING, Any

import click

from .common import print_json, print_rows

if TYPE_CHECKING:
    from ..registry import Analysis, Parameter

SHOWN_ROWS = 40


class Analyses(click.Group):
    """A group whose commands are the analyses at hand; asking for one imports one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the analyses that load; those that do not, as warnings."""
        from ..registry import registry

        names = []
        for plugin in registry(tuple(ctx.params.get("plugin") or ())).plugins():
            if plugin.error:
                click.echo(f"warning: {plugin.error}", err=True)
            else:
                names.append(plugin.name)
        return names

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of one analysis; PluginError where there is none."""
        from ..registry import registry

        return command_for(registry(tuple(ctx.params.get("plugin") or ())).get(cmd_name))


@click.group(cls=Analyses, subcommand_metavar="ANALYSIS [OPTIONS]")
@click.option(
    "--plugin", multiple=True, metavar="FILE", is_eager=True, help="Python file with more analyses."
)
def run(plugin: tuple[str, ...]) -> None:
    """Run an analysis on an extraction and store its results."""


def command_for(analysis: "Analysis") -> click.Command:
    """Make a command from an analysis: what it needs and what it lets the user set."""
    own = [option_for(p) for p in analysis.parameters]
    names = {p.name for p in analysis.parameters}
    shared = [o for o in _shared(analysis) if o.name not in names]

    def callback(**given: Any) -> None:
        run_analysis(analysis, {n: given.pop(n) for n in names}, **given)

    return click.Command(
        analysis.name, params=[*shared, *own], callback=callback, help=analysis.doc,
        short_help=analysis.summary,
    )  # fmt: skip


def option_for(parameter: "Parameter") -> click.Option:
    """Make an option from a parameter of the signature."""
    shared: dict[str, Any] = {"default": parameter.default, "help": parameter.help}
    if parameter.type is bool:
        flag = parameter.option.removeprefix("--")
        return click.Option([f"--{flag}/--no-{flag}", parameter.name], show_default=True, **shared)
    by_text = {str(choice): choice for choice in parameter.choices}
    texts = list(by_text)
    kind = click.Choice(texts) if texts else parameter.type
    if texts:  # a choice of numbers comes back as the number
        shared["callback"] = lambda _, __, text: by_text.get(text)
        shared["default"] = None if parameter.default is None else str(parameter.default)
    default = parameter.default is not None
    return click.Option(
        [parameter.option, parameter.name], type=kind, show_default=default, **shared
    )


def _shared(analysis: "Analysis") -> list[click.Option]:
    needs = analysis.needs
    if "runs" in needs:
        text = "Runs it is over: 3,5-9, all, or a SELECT that gives their numbers."
        return [click.Option(["--runs"], metavar="RUNS", help=text), *_common()]
    options = [
        click.Option(["--extraction"], metavar="ID", help="Extraction (default: the newest)."),
        click.Option(
            ["--site", "sites"], default="residual", help="Sites to run on (default: all)."
        ),
    ]
    if {"labels", "factors"} & set(needs):
        several = "factors" in needs
        text = "Label sets of the rows, parted by commas." if several else (
            "Label set, one label a row.")  # fmt: skip
        options += [
            click.Option(["--labels"], metavar="A,B" if several else "NAME", help=text),
            click.Option(["--groups"], metavar="NAME",
                         help="Label set whose equal values stay together in splits."),
        ]  # fmt: skip
    if "other" in needs or "others" in needs:
        several = "others" in needs
        text = (
            "A further site, or several as 2:layers.*; again for more."
            if several
            else "The second site."
        )
        options.append(click.Option(["--other"], metavar="[ID:]SITE", multiple=several, help=text))
    if analysis.bases or analysis.beside:
        text = f"Run of {' or '.join(analysis.beside)} (default: the newest at the site)."
        if analysis.bases:
            text = "Run to build on (default: the newest at the site, of the same labels)."
        options.append(click.Option(["--base"], metavar="RUN", multiple=True, help=text))
    if analysis.bases and not {"labels", "factors"} & set(needs):
        text = "Labels of the runs to build on (default: those of the newest)."
        options.append(click.Option(["--labels"], metavar="NAME", help=text))
    if "samples" in needs:
        options.append(
            click.Option(["--data"], metavar="FOLDER", help="Folder of the images or recordings.")
        )
    text = "Rows with NaN or infinity."
    kinds = click.Choice(["error", "drop", "keep"])
    return [
        *options,
        click.Option(["--nonfinite"], type=kinds, default="error", show_default=True, help=text),
        *_common(),
    ]


def _common() -> list[click.Option]:
    return [
        click.Option(["--seed"], type=int, default=0, show_default=True, help="Random seed."),
        click.Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda, …"),
        click.Option(["--force"], is_flag=True, help="Compute again what is done already."),
        click.Option(["--store"], metavar="URL", help="Store (see actlas --help)."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON for machines."),
    ]  # fmt: skip


def run_analysis(
    analysis: "Analysis", settings: dict[str, Any], *, store: str | None, as_json: bool,
    extraction: str | None = None, **given: Any,
) -> None:  # fmt: skip
    """Run and print the first table of every run."""
    from .. import api

    for name in ("other", "runs"):
        if given.get(name, ()) is None:
            given[name] = ()
    with api.open(store, create=False) as opened:
        runs = opened.run(analysis, extraction, progress=True, **given, **settings)
        rows = api.headlines(runs)
        for run_, warning in ((r, w) for r in runs for w in r.record.warnings):
            click.echo(f"warning: {run_.site or 'all sites'}: {warning}", err=True)
        if as_json:
            print_json(api.run_records(runs))
            return
        print_rows(rows[:SHOWN_ROWS], False, "the analysis returned no table rows")
        if len(rows) > SHOWN_ROWS:
            click.echo(f"… {len(rows) - SHOWN_ROWS} more rows")
        click.echo(f"{api.described(runs)}; all tables: actlas results {runs[-1].id}")
