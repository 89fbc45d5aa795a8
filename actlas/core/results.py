"""Results: named tables, arrays and figures that an analysis returns."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, final, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .errors import AnalysisError

KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "str"}
RESERVED = ("run_id", "item")  # the store adds these to every result table


@dataclass(frozen=True)
class Column:
    """One typed column of a result table."""

    name: str
    kind: str
    nullable: bool
    doc: str


@dataclass(frozen=True)
class TableSpec:
    """A declared result table: its columns, and what one row of it is."""

    name: str
    columns: tuple[Column, ...]
    doc: str

    @classmethod
    def of(cls, name: str, row_type: type) -> "TableSpec":
        """Read columns from a frozen dataclass; each field is Annotated[type, "meaning, unit"].

        Raises AnalysisError for anything that is not declared so.
        """
        if not dataclasses.is_dataclass(row_type):
            raise AnalysisError(f"table {name!r}: {row_type!r} is no dataclass; add @dataclass")
        hints = get_type_hints(row_type, include_extras=True)
        columns = tuple(_column(name, f.name, hints[f.name]) for f in dataclasses.fields(row_type))
        written = inspect.getdoc(row_type) or ""
        if not written.strip():
            raise AnalysisError(f"table {name!r}: {row_type.__name__} has a blank docstring")
        generated = written.startswith(f"{row_type.__name__}(")  # what @dataclass writes itself
        return cls(name, columns, "" if generated else written.strip().splitlines()[0])


def _column(table: str, name: str, hint: Any) -> Column:
    doc = ""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        doc = next((n for n in notes if isinstance(n, str)), "")
    kinds = [hint]
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [k for k in get_args(hint) if k is not types.NoneType]
    nullable = kinds != [hint]
    if len(kinds) != 1 or kinds[0] not in KINDS or not doc or name in RESERVED:
        raise AnalysisError(
            f'table {table!r}, column {name!r}: write it as `{name}: Annotated[float, "meaning, '
            f'unit"]` with int, float, str or bool, `| None` where it may be missing, and a name '
            f"other than {' and '.join(RESERVED)}"
        )
    return Column(name, KINDS[kinds[0]], nullable, doc)


@final
@dataclass(frozen=True, eq=False)
class ResultTable:
    """A table by column: `table["eigenvalue"]` is an array, iteration gives dicts by row."""

    name: str
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = list(self.columns)
        lists = [self.columns[name].tolist() for name in names]
        for values in zip(*lists, strict=True):
            yield dict(zip(names, values, strict=True))

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame (needs pandas)."""
        import pandas

        return pandas.DataFrame(dict(self.columns))


class Figures(Mapping[str, Any]):
    """Figures by name, drawn from the tables when asked for (needs the extra `plots`)."""

    def __init__(self, draw: Mapping[str, Callable[..., Any]], tables: Mapping[str, ResultTable]):
        self._draw, self._tables = draw, tables

    def __getitem__(self, name: str) -> Any:
        return self._draw[name](self._tables)

    def __contains__(self, name: object) -> bool:
        return name in self._draw  # a mapping's own would draw it

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)


@final
@dataclass(frozen=True, eq=False)
class Result:
    """What an analysis returns.

    tables: per declared table a row (an instance of its dataclass), a sequence of rows, or
        a mapping from column to sequence; after the call always a `ResultTable`.
    arrays: named numpy arrays (axes, directions, maps).
    warnings: one line each on what the reader must know, such as no convergence.
    parameters: what the analysis was set to; the host fills them in.
    """

    tables: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def joined(cls, results: Mapping[str, "Result"]) -> "Result":
        """Put results of several analyses, by name, into one.

        Tables and arrays are called as in SQL, ANALYSIS_TABLE; parameters are by analysis.
        """
        return cls(
            {f"{name}_{t}": table for name, r in results.items() for t, table in r.tables.items()},
            {f"{name}_{a}": array for name, r in results.items() for a, array in r.arrays.items()},
            [warning for r in results.values() for warning in r.warnings],
            parameters={name: r.parameters for name, r in results.items()},
        )


def checked_tables(
    who: str, specs: Mapping[str, TableSpec], given: Mapping[str, Any]
) -> dict[str, ResultTable]:
    """Return the tables by column, or raise AnalysisError where they are not as declared."""
    if set(given) != set(specs):
        raise AnalysisError(
            f"analysis {who!r} declares the tables {sorted(specs)} but returned {sorted(given)}"
        )
    return {name: _checked_table(who, specs[name], given[name]) for name in specs}


def _checked_table(who: str, spec: TableSpec, given: Any) -> ResultTable:
    where = f"analysis {who!r}, table {spec.name!r}"
    columns = _by_column(where, spec, given)
    names = [column.name for column in spec.columns]
    if set(columns) != set(names):
        raise AnalysisError(f"{where}: declares columns {names} but returned {sorted(columns)}")
    arrays = {c.name: _checked_column(where, c, columns[c.name]) for c in spec.columns}
    if len({len(a) for a in arrays.values()}) > 1:
        raise AnalysisError(f"{where}: columns of different lengths")
    return ResultTable(spec.name, arrays)


def _by_column(where: str, spec: TableSpec, given: Any) -> Mapping[str, Any]:
    if isinstance(given, ResultTable):
        return given.columns
    if isinstance(given, Mapping):
        return given
    if not dataclasses.is_dataclass(given) and not isinstance(given, Iterable):
        raise AnalysisError(f"{where}: {given!r} is no row, rows or columns")
    rows = [given] if dataclasses.is_dataclass(given) else list(given)
    names = [column.name for column in spec.columns]
    for row in rows:
        if not dataclasses.is_dataclass(row) or [f.name for f in dataclasses.fields(row)] != names:
            raise AnalysisError(f"{where}: a row is {type(row).__name__}, not its declared type")
    return {name: [getattr(row, name) for row in rows] for name in names}


def _checked_column(where: str, column: Column, values: Any) -> NDArray[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise AnalysisError(f"{where}, column {column.name!r}: {values!r} is no sequence")
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    expected = {"int": int, "float": int | float, "bool": bool, "str": str}[column.kind]
    out: list[Any] = []
    for value in listed:
        plain = value.item() if isinstance(value, np.generic) else value
        if column.kind == "float" and isinstance(plain, float) and plain != plain:
            plain = None  # NaN is SQL's null
        if plain is None and not column.nullable:
            raise AnalysisError(f"{where}, column {column.name!r}: missing, but not declared so")
        wrong = plain is not None and (
            not isinstance(plain, expected) or (isinstance(plain, bool) and column.kind != "bool")
        )
        if column.kind == "int" and isinstance(plain, int) and not -(2**63) <= plain < 2**63:
            wrong = True
        if wrong or plain in (float("inf"), -float("inf")):
            raise AnalysisError(
                f"{where}, column {column.name!r}: {plain!r} is no finite {column.kind}"
            )
        out.append(plain)
    return column_array(column.kind, out)


def column_array(kind: str, values: Sequence[Any]) -> NDArray[Any]:
    """Make a column array: missing numbers as NaN in floats, as objects elsewhere."""
    if kind == "float":
        return np.array([np.nan if v is None else v for v in values], np.float64)
    if kind in ("int", "bool") and None not in values:
        return np.array(values, np.int64 if kind == "int" else bool)
    return np.array(values, object)
