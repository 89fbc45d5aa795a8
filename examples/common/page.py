"""A static page from a template of an example."""

from dataclasses import dataclass
from typing import Any

import actlas


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, and what one sees."""

    svg: str
    caption: str


def svg(figure: dict[str, Any]) -> str:
    """Draw a Vega-Lite figure."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(figure))


def render(package: str | None, **values: Any) -> str:
    """Fill `page.html.j2` of an example, which may extend `base.html.j2` of this package."""
    import jinja2

    folders = [jinja2.PackageLoader(str(name), "") for name in (package, __package__)]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("page.html.j2")
    return template.render(version=actlas.__version__, **values)
