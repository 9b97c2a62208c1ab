"""Pages and drawings from the templates of templates/web.

What others wrote is escaped (autoescape), and what could turn text around or is no character is shown as its code
(`finalize`), wherever it stands: a template cannot forget either. Templates are handed in by `Load`, since views read no files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from git_fleet.core.picture import Picture
from git_fleet.views.layout import cut, layout
from git_fleet.views.look import line

Load = Callable[[str], str]
"""The text of a template or a style by its name (resources.web)."""

_KEEP = "\n\t\u200c\u200d"
"""Line ends, and the joiners that scripts and emoji are written with."""


def graph_svg(value: Picture, load: Load) -> str:
    """A plan's graph as an SVG that stands alone, in ASCII, without a last newline."""
    template = environment(load).get_template("graph.svg.j2")
    style = Markup(load("colours.css") + load("graph.css"))  # noqa: S704 - our own file
    drawn = str(template.module.svg(value, layout(value), style))  # type: ignore[attr-defined]
    return drawn.encode("ascii", "xmlcharrefreplace").decode("ascii")


@functools.lru_cache(maxsize=4)
def environment(load: Load) -> Environment:
    """jinja2 as all pages are filled in with; kept, since the board fills in the same ones again and again."""
    made = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"px": pixels, "cut": lambda text, columns: cut(line(text), columns)}
    return made


def harmless(value: Any) -> Any:
    """What is put into a page, without what could steer it; not what is made by us already."""
    return line(value, keep=_KEEP) if isinstance(value, str) and not isinstance(value, Markup) else value


def pixels(value: float) -> str:
    """A number as short as it may be."""
    return f"{value:.1f}".removesuffix(".0")
