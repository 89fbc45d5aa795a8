"""`actlas extract` and `actlas sites`."""

from typing import TYPE_CHECKING, Any

import click

from .common import json_option, print_record, print_rows, store_option

if TYPE_CHECKING:
    from ..api import Work

CHECKED = 32  # texts that `sites --check` takes
POOLINGS = ("token", "word", "mean", "first", "last")


def model_options(command: Any) -> Any:
    """Add what loading a model takes."""
    for option in (
        click.option("--trust-remote-code", is_flag=True, help="Run the checkpoint's own Python."),
        click.option("--compute-dtype", default="float32", show_default=True,
                     type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
                     help="Dtype of the forward pass."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, mps, …"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("model")
@click.argument("dataset")
@click.option(
    "--sites",
    default="residual",
    show_default=True,
    help="Names, globs (layers.*), negative indices (layers.-1), module:PATH, or residual.",
)
@click.option(
    "--pooling",
    default="token",
    show_default=True,
    type=click.Choice(POOLINGS),
    help="What one row stands for.",
)
@click.option(
    "--dtype",
    default="float16",
    show_default=True,
    type=click.Choice(["float16", "float32", "bfloat16"]),
    help="How numbers are stored.",
)
@click.option("--text", metavar="COLUMN", help="Column of the texts.")
@click.option("--labels", metavar="A,B", help="Columns to take as label sets (default: all).")
@click.option("--target", metavar="COLUMN", help="Column that names one word of each text.")
@click.option("--decoder-text", metavar="COLUMN", help="Column of the texts a decoder reads.")
@click.option(
    "--generate",
    metavar="TOKENS",
    type=click.IntRange(1),
    help="Let a decoder read what the model itself writes, at most so many tokens.",
)
@click.option("--split", default="train", show_default=True, help="Split of a hub data set.")
@click.option("--limit", type=click.IntRange(1), help="Take only the first samples.")
@click.option("--skip-bad", is_flag=True, help="Leave out unreadable lines and empty texts.")
@click.option("--max-length", type=click.IntRange(1), help="Tokens after which a text is cut.")
@click.option(
    "--long",
    "on_long",
    default="truncate",
    show_default=True,
    type=click.Choice(["truncate", "error"]),
    help="What to do with longer texts.",
)
@click.option(
    "--batch-tokens",
    default=2048,
    show_default=True,
    type=click.IntRange(1),
    help="Padded tokens in one forward pass.",
)
@model_options
@store_option
@json_option
def extract(
    model: str, dataset: str, text: str | None, labels: str | None, target: str | None,
    decoder_text: str | None, generate: int | None, split: str, limit: int | None, skip_bad: bool,
    store: str | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Extract activations of MODEL over DATASET into the store.

    MODEL is hf:NAME-OR-PATH[@REVISION] (hf: may be left out) or actlas:demo. DATASET is a
    file (.jsonl .csv .tsv .parquet .txt .conllu), hf:NAME[@CONFIG], or actlas:concepts.

    What is there already is not computed again; a run that was killed goes on where it stopped.
    """
    from .. import api, core

    texts = core.read_dataset(
        dataset, text=text, labels=[n.strip() for n in labels.split(",")] if labels else None,
        target=target, decoder_text=decoder_text, split=split, limit=limit, skip_bad=skip_bad,
    )  # fmt: skip
    if texts.skipped:
        click.echo(f"left out {core.count(texts.skipped, 'unreadable or empty record')}", err=True)
    loading = {n: options.pop(n) for n in ("device", "compute_dtype", "trust_remote_code")}
    network = core.load_model(model, **loading)
    network.select(options["sites"])  # what is wrong is said before a store is made
    if generate:
        texts = core.generate_targets(network, texts, generate)
    with api.open(store) as opened:
        done = opened.extract(network, texts, progress=True, on_plan=say_plan, **options)
        for warning in done.warnings:
            click.echo(f"warning: {warning}", err=True)
        record = {
            "extraction": done.id, "rows": done.record.rows,
            "sites": [a.site for a in done.sites if a.complete], "store": opened.url,
            "warnings": done.warnings,
        }  # fmt: skip
        print_record(record, as_json)


def say_plan(work: "Work") -> None:
    """Say what is to be done before it starts."""
    from ..core import count, human_bytes, human_seconds

    if work.estimate is None:
        click.echo(f"extraction {work.extraction.id} is complete; nothing to compute", err=True)
        return
    done = min(a.samples_done for a in work.todo)
    taken_up = f"; goes on after sample {done:,}" if done else ""
    click.echo(
        f"about {work.estimate.rows:,} rows × {count(len(work.todo), 'site')}, "
        f"{human_bytes(work.estimate.bytes)}, {human_seconds(work.estimate.seconds)}{taken_up}",
        err=True,
    )


@click.command()
@click.argument("model")
@click.argument("dataset", required=False)
@click.option("--all", "every", is_flag=True, help="Also every submodule, as module:PATH.")
@click.option("--check", is_flag=True, help="Compare each site with the model's own output.")
@model_options
@json_option
def sites(
    model: str, dataset: str | None, every: bool, check: bool, as_json: bool, **options: Any
) -> None:
    """List the sites of MODEL with their widths.

    With --check, texts of DATASET (default: actlas:concepts) go through the model in batches,
    as in an extraction, and are compared with what the model computes for a sample alone.
    """
    from .. import core

    if (dataset and not check) or (every and check):
        raise click.UsageError("DATASET goes with --check, and --all without it")
    network = core.load_model(model, **options)
    if not check:
        print_rows(core.describe_sites(network, every=every), as_json)
        return
    texts = core.read_dataset(dataset or "actlas:concepts", limit=CHECKED)
    proofs = core.check_sites(network, texts)
    print_rows(core.check_table(network, proofs), as_json)
    if not all(proof.holds for proof in proofs):
        raise click.exceptions.Exit(1)
