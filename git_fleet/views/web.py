"""Pages and drawings from the templates of templates/web.

What others wrote is escaped (autoescape), and what could turn text around or is no character is shown as its code
(`finalize`), wherever it stands: a template cannot forget either. Templates are handed in by `Load`, since views read no files.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from git_fleet.core.lessons import duration
from git_fleet.core.picture import Picture
from git_fleet.core.reporting import Report
from git_fleet.core.wording import count
from git_fleet.views import matrix
from git_fleet.views.layout import layout
from git_fleet.views.look import JOINERS, cut, line, since, size
from git_fleet.views.report import MOST_FILES, Page, gates_tone, refused, tone
from git_fleet.views.timeline import THIN

Load = Callable[[str], str]
"""The text of a template or a style by its name (resources.web)."""

_KEEP = f"\n\t{JOINERS}"


def graph_svg(value: Picture, load: Load) -> str:
    """A plan's graph as an SVG that stands alone, in ASCII, without a last newline."""
    template = environment(load).get_template("graph.svg.j2")
    style = Markup(load("colours.css") + load("graph.css"))  # noqa: S704 - our own file
    drawn = str(template.module.svg(value, layout(value), style))  # type: ignore[attr-defined]
    return drawn.encode("ascii", "xmlcharrefreplace").decode("ascii")


def report_page(value: Report, load: Load, *, version: str) -> str:
    """A report as one HTML file that needs no network: its policy allows its own style, and nothing else."""
    return standing_alone("report.html.j2", load, page=Page(value), version=version)


def standing_alone(name: str, load: Load, **values: Any) -> str:
    """The page of this template, in which reports are shown, as one file."""
    style = "".join(map(load, ("colours.css", "graph.css", "page.css")))
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        environment(load)
        .get_template(name)
        .render(
            style=Markup(style),  # noqa: S704 - our own file
            digest=Markup(allowed),  # noqa: S704 - made by us
            words=matrix,
            thin=THIN,
            most=MOST_FILES,
            **values,
        )
    )


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
    made.filters |= {
        "px": pixels,
        "cut": lambda text, columns: cut(line(text, keep=_KEEP), columns),
        "duration": duration,
        "size": size,
        "count": count,
        "ago": since,
        "clock": clock,
        "digest": digest,
        "tone": tone,
        "gates": gates_tone,
        "refused": refused,
    }
    return made


def harmless(value: Any) -> Any:
    """What is put into a page, without what could steer it; not what is made by us already."""
    return line(value, keep=_KEEP) if isinstance(value, str) and not isinstance(value, Markup) else value


def digest(text: str) -> str:
    """A short mark of a text: another for another text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def clock(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def pixels(value: float) -> str:
    """A number as short as it may be."""
    return f"{value:.1f}".removesuffix(".0")
