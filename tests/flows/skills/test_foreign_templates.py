"""Templates of a project's own skills are programs: they are bounded in time and memory."""

import time
from pathlib import Path

import pytest

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.skill import SkillCreate
from wildloop.flows.skills import SkillEditor, SkillLibrary
from wildloop.flows.skills.apart import render_apart
from wildloop.flows.skills.template import used_variables

HUGE = [
    "{{ goal.ljust(10**10) }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ 'a'|center(10000000000) }}",
    "{{ '{:>9999999999}'.format(1) }}",
    "{% set ns = namespace(x='ab') %}{% for _ in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
    "{% endfor %}{{ ns.x }}",
]


@pytest.mark.parametrize("template", HUGE)
def test_creation_carries_nothing_out(template: str) -> None:
    began = time.process_time()
    used_variables("s", template)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("template", HUGE)
def test_huge_rendering_is_refused_in_bounded_time(template: str) -> None:
    with pytest.raises(InvalidRequest, match=r"skill 's'"):
        render_apart("s", template, {"goal": "g"})


def test_own_skill_renders_as_a_shipped_one_does(tmp_path: Path) -> None:
    library = SkillLibrary(tmp_path / "shipped", tmp_path / "skills")
    editor = SkillEditor(library, tmp_path / "skills")
    body = SkillCreate(id="mine", description="d", template="To do: {{ goal }} ü {{ 2 * n }}\n")
    editor.create(body)
    assert library.render("mine", {"goal": "{{ x }}", "n": 3}).strip() == "To do: {{ x }} ü 6"
    with pytest.raises(InvalidRequest, match="'goal' is undefined"):
        library.render("mine", {"n": 1})
