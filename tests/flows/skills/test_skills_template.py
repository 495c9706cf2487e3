"""A skill's body as a template, and a path inside a skill, against odd input."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.skill import SkillCreate, SkillUpdate
from wildloop.flows.skills import SkillEditor, SkillLibrary, parse_skill, shipped_skills_path
from wildloop.flows.skills.document import SkillDocument, check_new_id, parse_document
from wildloop.flows.skills.files import check_path
from wildloop.flows.skills.template import render, used_variables


@pytest.mark.parametrize(
    ("template", "used"),
    [
        ("no variable", []),
        ("{{ b }}{{ a.c }}{% if d is defined %}{% endif %}", ["a", "b", "d"]),
        ("{% for x in xs %}{{ x }}{{ loop.index }}{{ range(2) }}{% endfor %}", ["xs"]),
        ("{% set y = 1 %}{{ y }}{% raw %}{{ z }}{% endraw %}", []),
    ],
)
def test_variables_of_a_template_are_found(template: str, used: list[str]) -> None:
    assert used_variables("s", template) == used


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(400) %}{% for b in range(400) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [0] * 10000000 }}",
        "{{ 9 ** 99999999 }}",
        "{{ 9 ** 9999 ** 9999 }}",
        "{% set ns = namespace(t='xxxxxxxxxx') %}{% for i in range(99) %}"
        "{% set ns.t = ns.t * 10 %}{% endfor %}",
    ],
)
def test_template_that_explodes_is_a_fault(template: str) -> None:
    with pytest.raises(InvalidRequest, match="Overflow"):
        render("s", template, {})


def test_ordinary_loops_and_products_work() -> None:
    template = "{% for a in range(3) %}{{ 'ab' * a }}{{ 2 ** a }}{{ a * 2 }}{% endfor %}"
    assert render("s", template, {}) == "10" + "ab22" + "abab44"
    assert render("s", template, {}) == render("s", template, {})


def test_long_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="shorten"):
        render("s", "{{ a }}{{ a }}", {"a": "x" * 1_500_000})


@given(st.text(max_size=80))
def test_a_value_is_never_a_template(value: str) -> None:
    assert render("s", "<{{ v }}>", {"v": value}) == f"<{value}>"


@given(st.text(max_size=200))
def test_any_template_compiles_or_is_a_named_fault(template: str) -> None:
    try:
        used_variables("s", template)
    except InvalidRequest as error:
        assert "skill 's'" in str(error)


@given(st.text(max_size=60) | st.lists(st.sampled_from([*"./\\a~", "..", "%2e"])).map("".join))
def test_any_path_stays_inside_or_is_refused(path: str) -> None:
    try:
        parts = check_path(path)
    except InvalidRequest as error:
        assert str(error).isprintable()
        return
    whole = os.path.normpath("/root/skill/" + "/".join(parts))
    assert whole == f"/root/skill/{path}"
    assert not any(part.startswith(".") for part in parts)


@given(st.text(max_size=120))
def test_any_id_is_taken_or_is_a_named_fault(id: str) -> None:
    try:
        check_new_id(id)
    except InvalidRequest as error:
        assert "id '" in str(error)
        return
    assert Path(id).name == id
    assert id.isascii()


LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)


@given(name=LINES, body=st.text(max_size=200))
def test_document_comes_back_as_it_was_written(name: str, body: str) -> None:
    document = SkillDocument(front_matter={"name": name, "description": "d"}, body=body)
    back = parse_document("s", document.text())
    assert back.front_matter == document.front_matter
    assert back.body == body.replace("\r\n", "\n")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_byte_order_mark_do_not_matter(newline: str) -> None:
    text = newline.join(["\ufeff---", "description: d", "---", "one", "two"])
    assert parse_skill("s", text, "project").template == "one\ntwo"


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("variables", "variables: 3"),
        ("variables", "variables: [1]"),
        ("name", "name: [a]"),
        ("description", "description: 2020-01-01"),
        ("category", "category: null"),
    ],
)
def test_wrong_field_of_the_front_matter_is_named(field: str, line: str) -> None:
    head = "" if field == "description" else "description: d\n"
    with pytest.raises(InvalidRequest, match=field):
        parse_skill("s", f"---\n{head}{line}\n---\nbody", "project")


def test_what_was_read_before_a_write_is_whole_at_any_time(tmp_path: Path) -> None:
    library = SkillLibrary(shipped_skills_path(), tmp_path)
    editor = SkillEditor(library, tmp_path)
    editor.create(SkillCreate(id="s", description="d", template="old"))
    with (tmp_path / "s" / "SKILL.md").open() as reader:
        editor.update("s", SkillUpdate(template="new"))
        assert reader.read().endswith("old")
    assert library.get("s").template == "new"
