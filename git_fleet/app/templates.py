"""Templates filled in: jinja2, in its sandbox (DESIGN section 17).

A template may be the repository's own. It gets plain texts, numbers and lists, reaches nothing else, and what
is filled in is never read as a template. jinja2 is slow to import: only who renders pays for it.
"""

from __future__ import annotations

import functools
import json
import shlex
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from git_fleet import resources
from git_fleet.core.quoting import harmless
from git_fleet.errors import InvalidInput

if TYPE_CHECKING:
    import jinja2

BUILT_IN = "git-fleet"
"""What a template of one's own calls the built-in one, to extend or include it."""

MAX_TEMPLATE_BYTES = 256 * 1024
MAX_BYTES = 256 * 1024


class Template(Struct, frozen=True):
    """A template's text and the name that errors give it: where it is from. `parent` is the text that one of one's
    own may extend; "" stands for that of a prompt."""

    name: str
    text: str
    parent: str = ""


def built_in() -> Template:
    """The package's own template of a prompt."""
    return Template(BUILT_IN, resources.template("prompt"))


def render(template: Template, values: Mapping[str, Any]) -> str:
    """The template filled in, without control characters, its last line ended.

    Raises InvalidInput, which names the template's line, for one that is no template, that asks for what there is
    not, or whose text is longer than MAX_BYTES.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    place = template.name
    try:
        parts, size = [], 0
        for part in _compiled(template).generate(**values):
            parts.append(part)
            size += len(part.encode("utf-8", "surrogateescape"))
            if size > MAX_BYTES:
                raise InvalidInput(
                    f"{place}: what it makes is longer than {MAX_BYTES // 1024} KiB", hint=_mend(template)
                )
    except TemplateSyntaxError as error:
        text = f"{error.name or place}:{error.lineno}: {error.message}"
        raise InvalidInput(_one_line(text), hint=_mend(template)) from None
    except RecursionError:
        raise InvalidInput(f"{place}: it is nested too deeply", hint=_mend(template)) from None
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"{_line(error, template)}: {error}"
        raise InvalidInput(_one_line(text), hint=_mend(template)) from None
    return harmless("".join(parts)).strip("\n") + "\n"


@functools.lru_cache(maxsize=8)
def _compiled(template: Template) -> jinja2.Template:
    """Ready to be filled in; kept, since a run fills in the same one for each of its agents. Raises TemplateError."""
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def load(name: str) -> tuple[str, str, None] | None:
        if name == template.name:
            return template.text, name, None
        return (template.parent or built_in().text, name, None) if name == BUILT_IN else None

    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(load),
        undefined=StrictUndefined,
        autoescape=False,  # a prompt is no HTML; what others wrote is quoted before it gets here
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        cache_size=2,
    )
    environment.filters |= {"sh": _for_sh, "yaml": _for_yaml}
    return environment.get_template(template.name)


def _for_sh(text: object) -> str:
    """One word for a POSIX shell, whatever is in it."""
    return shlex.quote(harmless(str(text)))


def _for_yaml(text: object) -> str:
    """A scalar for YAML (a double-quoted one), whatever is in it."""
    shown = json.dumps(harmless(str(text)), ensure_ascii=False)
    return "".join(each if each.isprintable() else _escaped(each) for each in shown)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _line(error: Exception, template: Template) -> str:
    """`name:line` of the template where it went wrong: jinja2 puts its lines into the traceback."""
    names = {template.name, BUILT_IN}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else template.name


def _one_line(text: str) -> str:
    return " ".join(harmless(text).split())


def _mend(template: Template) -> str:
    if template.name == BUILT_IN:
        return "this is a fault of git-fleet's own template"
    if template.parent:
        return "correct it, or leave --template out: the built-in one is taken then"
    return "correct it on the base branch; git fleet prompt TASK shows what it makes"
