"""Templates of prompts: what they may do, and how a fault in one is told."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from git_fleet.app import templates
from git_fleet.app.templates import Template, built_in, render
from git_fleet.core.quoting import harmless
from git_fleet.errors import InvalidInput

VALUES = {
    "title": "{{ 7 * 6 }} {% raw %}",
    "task": {"id": "p/a", "needs": ["p/b"]},
    "findings": ["one", "two"],
}


def own(text: str) -> Template:
    return Template("tools/prompt.md", text)


def refused(text: str) -> str:
    """What is said of a template that cannot be used, in one line."""
    with pytest.raises(InvalidInput) as error:
        render(own(text), VALUES)
    assert "\n" not in error.value.message
    assert "base branch" in error.value.hint
    return error.value.message


def test_a_template_has_values_conditions_and_loops() -> None:
    text = "{% if task.needs %}\n{{ task.id }}\n{% endif %}\n{% for one in findings %}\n- {{ one }}\n{% endfor %}\n"
    assert render(own(text), VALUES) == "p/a\n- one\n- two\n"


def test_what_is_filled_in_is_never_read_as_a_template() -> None:
    assert render(own("{{ title }}"), VALUES) == "{{ 7 * 6 }} {% raw %}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\ntwo {{ title\n", "tools/prompt.md:2: "),
        ("one\n{% if title %}\n", "tools/prompt.md:2: "),
        ("one\n\n{% nonsense %}", "tools/prompt.md:3: "),
        ("one\n{{ titel }}", "tools/prompt.md:2: 'titel' is undefined"),
        ("{{ task.nmae }}", "tools/prompt.md:1: 'dict object' has no attribute 'nmae'"),
        ("\n{{ 1 / 0 }}", "tools/prompt.md:2: "),
        ("{{ title | nofilter }}", "tools/prompt.md:1: "),
        ("{{ findings[9] }}", "tools/prompt.md:1: "),
        ("{{ title + 1 }}", "tools/prompt.md:1: "),
        ("{{ range(10 ** 9) }}", "tools/prompt.md:1: "),
        ('one\n{% include "/etc/passwd" %}', "tools/prompt.md:2: "),
        ('{% include "tools/prompt.md" %}', "tools/prompt.md: it is nested too deeply"),
    ],
)
def test_a_fault_is_one_line_with_the_place(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "{{ title.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ task.update({'id': 'x'}) }}",
        "{{ findings.append('x') }}",
        "{{ render.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ '{0.__class__}'.format(title) }}",
    ],
)
def test_a_template_reaches_nothing_but_its_values(text: str) -> None:
    refused(text)
    assert VALUES["findings"] == ["one", "two"]


def test_a_text_without_end_is_ended() -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{{ title }}{% endfor %}{% endfor %}"
    assert refused(loop) == "tools/prompt.md: what it makes is longer than 256 KiB"


def test_control_characters_of_a_template_do_not_reach_the_terminal() -> None:
    assert render(own("a\x1b[2Jb\r\nc"), VALUES) == "ab\nc\n"


def test_one_may_extend_the_built_in_one() -> None:
    base = built_in()
    assert "{% block rules %}" in base.text
    short = Template(templates.BUILT_IN, "top\n{% block rules %}\nrules\n{% endblock %}\n")
    mine = '{% extends "git-fleet" %}{% block rules %}{{ super() }}and {{ title }}\n{% endblock %}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "built_in", lambda: short)
        assert render(own(mine), VALUES) == "top\nrules\nand {{ 7 * 6 }} {% raw %}\n"


@pytest.mark.parametrize(
    "text", ["a'b\"$(id)`id`\\", "- {x: &y *z} # !t", "one\ntwo\x85\u2028\U0001f600", "yes", "", "1e3"]
)
def test_what_is_filled_into_a_manifest_or_a_script_is_one_word_of_it(text: str) -> None:
    made = render(Template("t", "a: {{ x | yaml }}\n"), {"x": text})
    assert yaml.safe_load(made) == {"a": harmless(text)}
    script = render(Template("t", "printf %s {{ x | sh }}"), {"x": text})
    assert (
        subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
        == harmless(text).encode()
    )
