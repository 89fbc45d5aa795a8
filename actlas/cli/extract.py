"""`actlas extract` and `actlas sites`."""

from typing import TYPE_CHECKING, Any

import click

from .common import json_option, print_record, print_rows, store_option

if TYPE_CHECKING:
    from ..api import Work

READING = (
    "text", "media", "target", "decoder_text", "name_labels", "split", "limit", "skip_bad",
)  # fmt: skip
CHECKED = 32  # samples that `sites --check` takes
POOLINGS = ("token", "word", "mean", "first", "last")


def model_options(command: Any) -> Any:
    """Add what loading a model takes."""
    for option in (
        click.option("--plugin", multiple=True, metavar="FILE",
                     help="Python file with a loader of models."),
        click.option("--trust-remote-code", is_flag=True, help="Run the checkpoint's own Python."),
        click.option("--compute-dtype", default="float32", show_default=True,
                     type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
                     help="Dtype of the forward pass."),
        click.option("--device", default="auto", show_default=True,
                     help="auto, cpu, cuda, mps, …, or split: over all GPUs."),
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
    help="Names, globs (layers.*), indices (layers.-1), module:PATH, residual, decomposition.",
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
    type=click.Choice(["float16", "float32", "bfloat16", "int8"]),
    help="How numbers are stored.",
)
@click.option("--text", metavar="COLUMN", help="Column of the texts.")
@click.option("--media", metavar="COLUMN", help="Column of image or audio files.")
@click.option("--labels", metavar="A,B", help="Columns to take as label sets (default: all).")
@click.option("--target", metavar="COLUMN", help="Column that names one word of each text.")
@click.option("--decoder-text", metavar="COLUMN", help="Column of the texts a decoder reads.")
@click.option(
    "--generate",
    metavar="TOKENS",
    type=click.IntRange(1),
    help="Let a decoder read what the model itself writes, at most so many tokens.",
)
@click.option(
    "--name-labels", metavar="PATTERN", help="Labels in file names: '{digit}_{speaker}_{take}'."
)
@click.option("--split", default="train", show_default=True, help="Split of a hub data set.")
@click.option("--limit", type=click.IntRange(1), help="Take only the first samples.")
@click.option(
    "--skip-bad", is_flag=True, help="Leave out unreadable records and files, and empty texts."
)
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
@click.option("--shard", metavar="K/N", help="Extract only part K of N; the parts join.")
@model_options
@store_option
@json_option
def extract(
    model: str, dataset: str, labels: str | None, shard: str | None, generate: int | None,
    plugin: tuple[str, ...], store: str | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Extract activations of MODEL over DATASET into the store.

    MODEL is hf:NAME-OR-PATH[@REVISION] (hf: may be left out; #image or #text at its end chooses
    a tower), actlas:demo, torch:package.module:factory, or a scheme of a plugin. DATASET is a
    file (.jsonl .csv .tsv .parquet .txt .conllu), a folder of images or recordings,
    hf:NAME[@CONFIG], or actlas:concepts.

    What is there already is not computed again; a run that was killed goes on where it stopped.
    """
    from .. import api, core

    options["shard"] = parse_shard(shard)
    reading = {name: options.pop(name) for name in READING}
    names = [n.strip() for n in labels.split(",")] if labels else None
    texts = core.read_dataset(dataset, labels=names, **reading)
    for note in texts.notes:
        click.echo(note, err=True)
    if texts.skipped:
        click.echo(f"left out {core.count(texts.skipped, 'unreadable or empty record')}", err=True)
    loading = {n: options.pop(n) for n in ("device", "compute_dtype", "trust_remote_code")}
    network = api.load_model(model, modality=texts.modality, plugins=plugin, **loading)
    # What is wrong is said before a store is made.
    core.check_fit(network, texts, options["pooling"])
    network.select(options["sites"], options["pooling"])
    if generate:
        texts = core.generate_targets(network, texts, generate)
    with api.open(store) as opened:
        done = opened.extract(
            network, texts, progress=True, on_plan=say_plan, on_wait=say_wait, **options
        )
        for note in network.feed.notes:
            click.echo(note, err=True)
        for warning in done.warnings:
            click.echo(f"warning: {warning}", err=True)
        record = {
            "extraction": done.id, "rows": done.record.rows,
            "sites": [a.site for a in done.sites if a.complete], "store": opened.url,
            "warnings": done.warnings,
        }  # fmt: skip
        print_record(record, as_json)


def parse_shard(shard: str | None) -> tuple[int, int] | None:
    """Read K/N, parts numbered from 1."""
    if shard is None:
        return None
    part, slash, of = shard.partition("/")
    if not (slash and part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise click.BadParameter(
            f"{shard!r} is no part; use K/N with K from 1 to N, as in 3/16", param_hint="--shard"
        )
    return int(part), int(of)


def say_wait(owner: str) -> None:
    """Say who is at work on what is asked for."""
    host, process, _ = owner.rsplit(":", 2)
    click.echo(f"process {process} on {host} extracts this already; waiting for it", err=True)


def say_plan(work: "Work") -> None:
    """Say what is to be done before it starts."""
    from ..core import count, human_bytes, human_seconds

    if work.estimate is None:
        click.echo(f"extraction {work.extraction.id} is complete; nothing to compute", err=True)
        return
    assert work.shard is not None
    done = min(part.samples_done for part in work.todo)
    taken_up = f"; goes on after sample {done:,}" if done > work.shard.first_sample else ""
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
    model: str, dataset: str | None, every: bool, check: bool, plugin: tuple[str, ...],
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """List the sites of MODEL with their widths.

    With --check, samples of DATASET (default: actlas:concepts) go through the model in batches,
    as in an extraction, and are compared with what the model computes for a sample alone.
    """
    from .. import api, core

    if (dataset and not check) or (every and check):
        raise click.UsageError("DATASET goes with --check, and --all without it")
    if not check:
        network = api.load_model(model, plugins=plugin, **options)
        print_rows(core.describe_sites(network, every=every), as_json)
        named = {} if as_json else core.presets(network.sites)
        for name, chosen in named.items():
            click.echo(f"--sites {name}: {core.listing(chosen)}", err=True)
        return
    samples = core.read_dataset(dataset or "actlas:concepts", limit=CHECKED)
    network = api.load_model(model, modality=samples.modality, plugins=plugin, **options)
    proofs = core.check_sites(network, samples)
    print_rows(core.check_table(network, proofs), as_json)
    if not all(proof.holds for proof in proofs):
        raise click.exceptions.Exit(1)
