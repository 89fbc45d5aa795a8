"""The root command, and what becomes of errors."""

import sys

import click

from .. import __version__
from . import (
    audit,
    data,
    doctor,
    extract,
    lookups,
    nouns,
    plugins,
    report,
    results,
    run,
    speech,
    store,
    train,
    transfer,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="actlas")
def cli() -> None:
    """actlas, the activation atlas.

    Extract a model's activations into a SQL store, run analyses on them, query the results.
    The store is --store, else the environment variable ACTLAS_STORE, else sqlite:///actlas.db.
    """


for command in (
    extract.extract, run.run, audit.audit, lookups.top, lookups.near, data.sql, extract.sites,
    transfer.export, transfer.import_, train.train, speech.speech,
    *nouns.GROUPS, results.results, report.report, plugins.plugins, store.store, doctor.doctor,
    doctor.demo,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line; an error raised on purpose is one line and exit status 1."""
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:  # wrong usage
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "interrupted; what was committed is kept: the same command goes on there", err=True
        )
        sys.exit(130)
    except BrokenPipeError:  # `actlas sql … | head`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if not _is_ours(error):
            raise
        for said in getattr(error, "faults", [str(error)]):  # of a file all at once
            click.echo(f"error: {' '.join(said.split())}", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _is_ours(error: Exception) -> bool:
    from ..core import ActlasError  # only here: it takes numpy along

    return isinstance(error, ActlasError)
