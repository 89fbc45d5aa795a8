"""The generated parts of the documentation, as Markdown."""

from collections.abc import Iterator
from typing import cast

import click
from sqlalchemy import Table

from actlas.auditing.keys import ONE, SEVERAL, Key
from actlas.cli import cli
from actlas.registry import Analysis, registry
from actlas.storage import tables
from actlas.storage.views import VIEWS

WIDTH = 90


def cli_help() -> str:
    """Return every command's help."""
    return "\n".join(
        f"### `{path}`\n\n```text\n{text.rstrip()}\n```\n"
        for path, text in _commands(cli, "actlas")
    )


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    yield path, command.get_help(context)
    if isinstance(command, click.Group) and path != "actlas run":  # its commands are analyses
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _commands(found, f"{path} {name}")


def analyses() -> str:
    """Return one section an analysis: what it is, its parameters, tables and arrays."""
    built_in = [p.analysis for p in registry().plugins() if p.source == "actlas" and p.analysis]
    return "\n".join(_analysis(analysis) for analysis in built_in)


def _analysis(analysis: Analysis) -> str:
    lines = [f"## {analysis.name}\n", analysis.doc, f"\nNeeds {_needs(analysis)}.\n"]
    lines.append(
        _table("parameter", ((p.option, f"`{p.default}`", p.help) for p in analysis.parameters))
    )
    for spec in analysis.tables.values():
        lines.append(f"Table `{analysis.name}_{spec.name}`: {spec.doc}\n")
        rows = ((c.name, c.kind + (" or null" if c.nullable else ""), c.doc) for c in spec.columns)
        lines.append(_table("column", rows))
    arrays = "; ".join(f"`{name}`: {doc}" for name, doc in analysis.arrays.items())
    lines.append(f"Arrays: {arrays or 'none'}. Figures: {', '.join(analysis.figures) or 'none'}.\n")
    return "\n".join(lines)


def _needs(analysis: Analysis) -> str:
    """Return the inputs; those that depend on the settings with what needs them."""
    said = []
    for name in analysis.needs:
        when = analysis.optional.get(name)
        settings = ", ".join(f"{key}={value}" for key, value in (when or {}).items())
        said.append(f"`{name}`" + ("" if when is None else f" ({settings or 'if given'})"))
    return ", ".join(said)


def _table(first: str, rows: Iterator[tuple[str, str, str]]) -> str:
    second = "default" if first == "parameter" else "type"
    body = "".join(f"| `{a}` | {b} | {c} |\n" for a, b, c in rows)
    return f"| {first} | {second} | meaning |\n|---|---|---|\n{body}"


def audit_keys() -> str:
    """Return one section a table of an audit file: its keys."""
    sections = []
    for name, keys in (*ONE.items(), *SEVERAL.items()):
        header = f"[{name}]" if name in ONE else f"[[{name}]]"
        rows = "".join(
            f"| `{key.name}`{' (needed)' * key.required} | {key.kind.said} | {_meaning(key)} |\n"
            for key in keys
        )
        sections.append(f"### `{header}`\n\n| key | value | meaning |\n|---|---|---|\n{rows}")
    return "\n".join(sections)


def _meaning(key: Key) -> str:
    return f"{key.text}: {', '.join(key.choices)}" if key.choices else key.text


def schema() -> str:
    """Return one section a stored table: what it holds, and its columns."""
    sections = []
    for mapper in sorted(tables.Base.registry.mappers, key=lambda m: str(m.local_table)):
        table = cast(Table, mapper.local_table)
        doc = " ".join((mapper.class_.__doc__ or "").split())
        rows = "".join(
            f"| `{c.name}` | {str(c.type).lower()} | {_role(c)} |\n" for c in table.columns
        )
        sections.append(f"## {table.name}\n\n{doc}\n\n| column | type | |\n|---|---|---|\n{rows}")
    sections += [f"## {name} (view)\n\n{doc}\n" for name, doc in VIEWS.items()]
    return "\n".join(sections)


def _role(column: object) -> str:
    roles = ["primary key"] if getattr(column, "primary_key", False) else []
    roles += [f"→ `{key.target_fullname}`" for key in getattr(column, "foreign_keys", ())]
    roles += ["may be null"] if getattr(column, "nullable", False) else []
    return ", ".join(roles)
