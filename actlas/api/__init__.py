"""The operations of the platform, over core, registry and storage."""

from .extracting import Work
from .handles import StoredExtraction, StoredRun
from .store import DEFAULT_STORE, Store, extract, get, open, run, store_url

__all__ = [
    "DEFAULT_STORE",
    "Store",
    "StoredExtraction",
    "StoredRun",
    "Work",
    "extract",
    "get",
    "open",
    "run",
    "store_url",
]
