"""`actlas export` and `actlas import`."""

from pathlib import Path
from typing import Any

import click

from .common import json_option, print_record, store_option

FORMATS = ("npz", "safetensors", "parquet", "zarr", "anndata", "hf")


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """Read names separated by commas."""
    return None if value is None else [n.strip() for n in value.split(",") if n.strip()]


@click.command()
@click.argument("extraction", metavar="EXTRACTION")
@click.option("-o", "--out", "path", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="File or folder to write.")  # fmt: skip
@click.option("--format", type=click.Choice(FORMATS), help="Format (default: by the name's end).")
@click.option("--sites", default="residual", show_default=True, help="Sites (default: all).")
@click.option("--labels", callback=names, metavar="A,B", help="Label sets (default: all).")
@click.option("--dtype", type=click.Choice(["float32", "float16"]),
              help="Numbers (default: as stored; bfloat16 and int8 as float32).")  # fmt: skip
@click.option("--texts", is_flag=True, help="Also the text of each sample.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@store_option
@json_option
def export(extraction: str, path: Path, store: str | None, as_json: bool, **options: Any) -> None:
    """Write the activations of EXTRACTION to a file for other tools.

    Provenance and labels of the rows go along, and what the activations are. Formats by the
    end of the name: .npz, .safetensors (with the rows in NAME.rows.jsonl), .parquet, .zarr,
    .h5ad (AnnData), and --format hf for a folder that `datasets.load_from_disk` takes.
    """
    from .. import api

    with api.open(store, create=False) as opened:
        done = opened.export(extraction, path, progress=True, **options)
        print_record(api.export_record(done), as_json)


@click.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--site", "sites", multiple=True, metavar="NAME[=ARRAY]",
              help="Site, and the array that it is; several times for several "
              "(default: every array under its name).")  # fmt: skip
@click.option("--rows", type=click.Path(path_type=Path), metavar="TABLE",
              help="Table of the rows: .csv, .tsv, .jsonl or .parquet.")  # fmt: skip
@click.option("--labels", callback=names, metavar="A,B",
              help="Its columns to take as label sets (default: all others).")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float16", "float32", "bfloat16", "int8"]),
              help="How numbers are stored (default: as in the file).")  # fmt: skip
@click.option("--model-name", metavar="NAME", help="Name of the model (default: the file's).")
@click.option("--dataset-name", metavar="NAME", help="Name of the data set (default: the file's).")
@store_option
@json_option
def import_(path: Path, store: str | None, as_json: bool, **options: Any) -> None:
    """Import activations that another tool made, to be analysed like any other.

    FILE is .npy, .npz, .safetensors or .h5/.hdf5 of matrices (rows, width), NeuroX's layout
    included. The table has one line a row, with any of the columns sample, position, token,
    token_id, start, end, special and text; all others are label sets. Without one each row is
    a sample of its own. The same content is imported once; an import that was killed goes on.
    """
    from .. import api

    with api.open(store) as opened:
        done = opened.import_matrix(
            path,
            progress=True,
            on_note=lambda note: click.echo(f"note: {note}", err=True),
            **options,
        )
        for warning in done.warnings:
            click.echo(f"warning: {warning}", err=True)
        record = {
            "extraction": done.id, "rows": done.record.rows, "dtype": done.record.dtype,
            "sites": [a.site for a in done.sites], "labels": list(done.label_sets),
            "store": opened.url,
        }  # fmt: skip
        print_record(record, as_json)
