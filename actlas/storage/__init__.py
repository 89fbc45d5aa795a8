"""The SQL store: tables, chunks, results, queries, migrations. Only it imports sqlalchemy."""

from .activations import (
    activation_records,
    extraction_key,
    newest_extraction,
    options_json,
    read_activations,
    read_rows,
)
from .audits import audit_jobs, audit_named, begin_audit
from .backends import Backend
from .cleaning import Removal, clean
from .codecs import Packed, decode, reread
from .copying import copy
from .copysites import Copied
from .database import NOUNS, Database, patiently
from .faults import Fault
from .growth import smaller_extraction
from .imports import add_imported_model, known_dataset
from .inputs import (
    add_dataset,
    add_model,
    has_targets,
    label_sets,
    read_labels,
    read_samples,
    read_texts,
)
from .results import (
    StoredResult,
    by_depth,
    done_run,
    newest_run,
    newest_runs,
    read_result,
    read_table,
    save_failure,
    save_run,
    sql_name,
    table_names,
)
from .schema import HEAD
from .shards import claim, held, missing_parts, owner_name, part_source, shards_of
from .tables import (
    Activation,
    Audit,
    AuditJob,
    Dataset,
    Extraction,
    Model,
    Part,
    Payload,
    Run,
    Shard,
    now,
)
from .tags import set_tags, tags_of
from .tops import Extremes, Lookup, RowPlace, SitePlace, looking_up, outermost
from .verify import chunk_count, verify
from .windows import (
    Place,
    begin_extraction,
    finish_shard,
    forget_empty,
    pack_window,
    record_proofs,
    write_window,
)

__all__ = [
    "HEAD",
    "NOUNS",
    "Activation",
    "Audit",
    "AuditJob",
    "Backend",
    "Copied",
    "Database",
    "Dataset",
    "Extraction",
    "Extremes",
    "Fault",
    "Lookup",
    "Model",
    "Packed",
    "Part",
    "Payload",
    "Place",
    "Removal",
    "RowPlace",
    "Run",
    "Shard",
    "SitePlace",
    "StoredResult",
    "activation_records",
    "add_dataset",
    "add_imported_model",
    "add_model",
    "audit_jobs",
    "audit_named",
    "begin_audit",
    "begin_extraction",
    "by_depth",
    "chunk_count",
    "claim",
    "clean",
    "copy",
    "decode",
    "done_run",
    "extraction_key",
    "finish_shard",
    "forget_empty",
    "has_targets",
    "held",
    "known_dataset",
    "label_sets",
    "looking_up",
    "missing_parts",
    "newest_extraction",
    "newest_run",
    "newest_runs",
    "now",
    "options_json",
    "outermost",
    "owner_name",
    "pack_window",
    "part_source",
    "patiently",
    "read_activations",
    "read_labels",
    "read_result",
    "read_rows",
    "read_samples",
    "read_table",
    "read_texts",
    "record_proofs",
    "reread",
    "save_failure",
    "save_run",
    "set_tags",
    "shards_of",
    "smaller_extraction",
    "sql_name",
    "table_names",
    "tags_of",
    "verify",
    "write_window",
]
