"""The SQL store: tables, chunks, results, queries, migrations. Only it imports sqlalchemy."""

from .activations import (
    activation_records,
    add_dataset,
    add_model,
    begin_extraction,
    extraction_key,
    finish_extraction,
    label_sets,
    options_json,
    read_activations,
    read_labels,
    read_rows,
    read_texts,
    write_window,
)
from .database import NOUNS, Database
from .results import StoredResult, done_run, read_result, save_failure, save_run, sql_name
from .schema import HEAD
from .tables import Activation, Dataset, Extraction, Model, Run, now

__all__ = [
    "HEAD",
    "NOUNS",
    "Activation",
    "Database",
    "Dataset",
    "Extraction",
    "Model",
    "Run",
    "StoredResult",
    "activation_records",
    "add_dataset",
    "add_model",
    "begin_extraction",
    "done_run",
    "extraction_key",
    "finish_extraction",
    "label_sets",
    "now",
    "options_json",
    "read_activations",
    "read_labels",
    "read_result",
    "read_rows",
    "read_texts",
    "save_failure",
    "save_run",
    "sql_name",
    "write_window",
]
