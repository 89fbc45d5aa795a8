"""Pages that work offline: templates, and how numbers are written in them."""

import json
import os
from pathlib import Path
from typing import Any

from ..core import count


def number(value: Any) -> str:
    """Write a number to four significant digits, whole numbers whole, nothing as a dash."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def parameters(text: str) -> str:
    """Write parameters, given as JSON, as k = 5, by = heads."""
    return ", ".join(
        f"{name} = {value if isinstance(value, str) and value else json.dumps(value)}"
        for name, value in json.loads(text).items()
    )


def render(package: str, name: str, **values: Any) -> str:
    """Fill a template of a package, which may extend `page.html.j2` of this one."""
    import jinja2

    folders = [jinja2.PackageLoader(folder, "") for folder in (package, __package__)]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "parameters": parameters, "counted": count}
    return environment.get_template(name).render(**values)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
