"""The operations of the platform, over core, registry and storage."""

from ..storage import HEAD
from .demo import run_demo
from .doctor import doctor
from .environment import seed_everything
from .extracting import Work
from .handles import StoredExtraction, StoredRun
from .maintenance import clean_store, copy_store, fault_record, verify_store
from .records import consequence, listed, remove, shown
from .report import write_report
from .store import DEFAULT_STORE, Store, extract, get, open, run, store_url, upgrade
from .tables import described, find, headlines, plugin_list, run_records, tables_of

__all__ = [
    "DEFAULT_STORE",
    "HEAD",
    "Store",
    "StoredExtraction",
    "StoredRun",
    "Work",
    "clean_store",
    "consequence",
    "copy_store",
    "described",
    "doctor",
    "extract",
    "fault_record",
    "find",
    "get",
    "headlines",
    "listed",
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
    "upgrade",
    "verify_store",
    "write_report",
]
