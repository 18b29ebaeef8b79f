"""Report pages: one HTML file, nothing loaded from elsewhere."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..files import write_text

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fill a template of ``templates/`` and write it, whole or not at all.

    Text is escaped; SVG drawings are passed as `markup` makes them.
    """
    write_text(path, _ENVIRONMENT.get_template(template).render(content))


def markup(svg: str) -> Markup:
    """Mark a drawing of our own as markup that must not be escaped."""
    return Markup(svg)
