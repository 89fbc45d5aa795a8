"""The operations of the platform, over core, registry and storage."""

from ..core import write_sounds
from ..storage import HEAD
from .demo import run_demo
from .doctor import doctor
from .environment import seed_everything
from .exporting import Exported, export_record
from .extracting import Work
from .handles import StoredExtraction, StoredRun
from .loading import load_model
from .lookups import Found, Hit, hit_records
from .maintenance import clean_store, copy_store, fault_record, verify_store
from .projected import top_of
from .records import consequence, listed, remove, shown
from .report import write_report
from .store import DEFAULT_STORE, Store, extract, get, open, run, store_url, upgrade
from .tables import described, find, headlines, plugin_list, run_records, tables_of

__all__ = [
    "DEFAULT_STORE",
    "HEAD",
    "Exported",
    "Found",
    "Hit",
    "Store",
    "StoredExtraction",
    "StoredRun",
    "Work",
    "clean_store",
    "consequence",
    "copy_store",
    "described",
    "doctor",
    "export_record",
    "extract",
    "fault_record",
    "find",
    "get",
    "headlines",
    "hit_records",
    "listed",
    "load_model",
    "open",
    "plugin_list",
    "remove",
    "run",
    "run_demo",
    "run_records",
    "seed_everything",
    "shown",
    "store_url",
    "tables_of",
    "top_of",
    "upgrade",
    "verify_store",
    "write_report",
    "write_sounds",
]
