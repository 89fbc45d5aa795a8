"""Options that commands share, and printing tables or JSON."""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

LONG = 40  # a longer cell is folded
Command = TypeVar("Command", bound=Callable[..., Any])


def store_option(command: Command) -> Command:
    """Add --store."""
    return click.option(
        "--store", metavar="URL", help="Store: a file, sqlite:///FILE or postgresql+psycopg://…"
    )(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def print_json(value: Any) -> None:
    """Print JSON, one document."""
    click.echo(json.dumps(_finite(value), indent=1, ensure_ascii=False, default=_plain))


def _finite(value: Any) -> Any:
    """Put null for NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    return value.item() if hasattr(value, "item") else str(value)


def print_rows(rows: Iterable[Mapping[str, Any]], as_json: bool, empty: str = "nothing") -> None:
    """Print records as a table, or as a JSON list."""
    listed = [dict(row) for row in rows]
    if as_json:
        print_json(listed)
        return
    if not listed:
        click.echo(empty)
        return
    _print_table(list(listed[0]), [list(row.values()) for row in listed])


def print_columns(names: list[str], rows: list[tuple[Any, ...]], as_json: bool) -> None:
    """Print a query's result as a table, or as a JSON list of records."""
    if as_json:
        print_json([dict(zip(_distinct(names), row, strict=True)) for row in rows])
    else:
        _print_table(names, rows)


def _distinct(names: list[str]) -> list[str]:
    """Number the columns that share a name: id, id_2."""
    return [n if (k := names[:i].count(n)) == 0 else f"{n}_{k + 1}" for i, n in enumerate(names)]


def print_record(record: Mapping[str, Any], as_json: bool) -> None:
    """Print one record line by line, lists of records in it as tables; or as JSON."""
    if as_json:
        print_json(record)
        return
    width = max(map(len, record))
    for name, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            click.echo(f"{name}:")
            print_rows(value, False)
        else:
            click.echo(f"{name:<{width}}  {cell(value)}")


def cell(value: Any) -> str:
    """Write a value for a terminal: floats to four significant digits."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return _plain(value) if isinstance(value, bytes | memoryview) else str(value)


def _print_table(names: list[str], rows: Iterable[Iterable[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    listed = [list(row) for row in rows]
    kept = _fitting(names, listed)
    for i, name in enumerate(names[:kept]):
        number = all(isinstance(row[i], int | float | None) for row in listed)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(cell(value)) for value in row[:kept]))
    width = None if sys.stdout.isatty() else 10_000  # a pipe gets whole lines
    Console(width=width, highlight=False).print(table, crop=False)
    if kept < len(names):
        click.echo(f"not shown here: {', '.join(names[kept:])}")


def _fitting(names: list[str], rows: list[list[Any]]) -> int:
    """Return how many columns a terminal has room for; a pipe has room for all."""
    if not sys.stdout.isatty():
        return len(names)
    room = shutil.get_terminal_size().columns
    for i, name in enumerate(names):
        room -= max(len(name), *(min(len(cell(row[i])), LONG) for row in rows), 1) + 3
        if room < 0 and i >= 2:
            return i
    return len(names)
