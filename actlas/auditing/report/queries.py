"""Questions to the store: rows together with the SQL that gave them, and as CSV."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ...storage import Database

LARGEST_CSV = 150_000  # characters in the page; of longer ones it has the SQL alone


@dataclass(frozen=True)
class Found:
    """What a query gave: `name` is that of its CSV file."""

    name: str
    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            yield dict(zip(self.columns, row, strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def csv(self) -> str:
        """The rows under their columns' names; null is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    @property
    def link(self) -> str | None:
        """The CSV as an address that holds it, None where it is too long for the page."""
        text = self.csv
        if len(text) > LARGEST_CSV:
            return None
        return "data:text/csv;charset=utf-8," + quote(text, safe=",/:;()*!._-")


def ask(database: Database, name: str, sql: str) -> Found:
    """Run one SELECT."""
    columns, rows = database.select(sql)
    return Found(name, sql, tuple(columns), tuple(rows))


def literal(text: str) -> str:
    """Write a text in SQL."""
    return "'" + text.replace("'", "''") + "'"
