"""The shipped skills, and the library that reads them."""

import re
import subprocess
from pathlib import Path

import pytest

from wildloop.flows.errors import InvalidRequest, NotFound
from wildloop.flows.models.session_options import Budget
from wildloop.flows.prompt.sections import (
    PromptContext,
    budget_section,
    render_prompt,
    steer_section,
)
from wildloop.flows.skills import SkillLibrary, shipped_skills_path

SHIPPED = [skill.id for skill in SkillLibrary(shipped_skills_path()).all()]
FULL = {
    name: f"<{name}>"
    for name, field in PromptContext.model_fields.items()
    if field.annotation is str
} | {"iteration": 3, "max_iterations": 9, "evo_sweep_enabled": True}


@pytest.fixture
def library(tmp_path: Path) -> SkillLibrary:
    return SkillLibrary(shipped_skills_path(), tmp_path)


def write_skill(folder: Path, id: str, text: str) -> None:
    (folder / id).mkdir()
    (folder / id / "SKILL.md").write_text(text, encoding="utf-8")


def test_the_loop_has_its_skills() -> None:
    assert {
        "wild_v2_planning",
        "wild_v2_iteration",
        "wild_v2_reflection",
        "wild_v2_execution_ops_protocol",
        "wild_v2_steer",
        "wild_v2_idea",
        "wild_v2_gpu_discovery_parallel_scheduling",
        "alert_handler",
    } <= set(SHIPPED)


@pytest.mark.parametrize("id", SHIPPED)
def test_every_skill_renders_with_defaults_and_with_all(id: str, library: SkillLibrary) -> None:
    skill = library.get(id)
    assert skill.name
    assert skill.description
    assert skill.version
    for context in (PromptContext(), PromptContext.model_validate(FULL)):
        text = render_prompt(library, id, context)
        assert "{{" not in text
        assert "{%" not in text
        assert len(text) < 20_000


@pytest.mark.parametrize("id", SHIPPED)
def test_front_matter_names_the_variables_that_are_used(id: str, library: SkillLibrary) -> None:
    skill = library.get(id)
    used = set(re.findall(r"\{\{\s*(\w+)", skill.template))
    used |= set(re.findall(r"\{%\s*if (\w+)", skill.template))
    assert used <= set(skill.variables)
    assert set(skill.variables) <= set(PromptContext.model_fields)


@pytest.mark.parametrize(
    ("id", "parts"),
    [
        (
            "wild_v2_planning",
            [
                "<plan>",
                "{{ plan_rules }}",
                "Reflection gate",
                "ablation",
                "Shared Metrics and Analytics Contract",
                "ABORT_EARLY_DOCS_CHECK_FAILED",
                "deliverable:",
                "done-when:",
                "<summary>",
            ],
        ),
        (
            "wild_v2_iteration",
            [
                "<promise>WAITING</promise>",
                "<promise>DONE</promise>",
                "<experiments>",
                "<summary>",
                "One task",
            ],
        ),
        ("wild_v2_reflection", ["<reflection>", "<continue>", "<memories>", "[lesson]"]),
        (
            "wild_v2_execution_ops_protocol",
            [
                "/sweeps/wild",
                "/runs",
                "max_new_runs",
                "uv",
                "micromamba",
                "sacct",
                "bash_history",
                "manifest.json",
                "configuration = one run",
            ],
        ),
        (
            "alert_handler",
            ["/alerts?status=open", "/respond", "choices", "NaN", "out of memory", "<summary>"],
        ),
        (
            "wild_v2_gpu_discovery_parallel_scheduling",
            ["/cluster", "max_new_runs", "local_gpu", "slurm", "gpus: 0", "WAITING"],
        ),
        ("wild_v2_idea", ["claim", "refute", "baseline", "deliverable:", "<summary>"]),
    ],
)
def test_skills_carry_their_duties(id: str, parts: list[str], library: SkillLibrary) -> None:
    text = library.get(id).template
    for part in parts:
        assert part in text, part


def test_a_goal_is_data_and_never_a_template(library: SkillLibrary) -> None:
    goal = "{{ 7 * 7 }} {% for x in y %} <promise>DONE</promise> ${HOME} ö"
    text = render_prompt(library, "wild_v2_iteration", PromptContext(goal=goal))
    assert goal in text
    assert "49" not in text.split("## What decides")[0]


def test_missing_variable_is_named(library: SkillLibrary) -> None:
    with pytest.raises(InvalidRequest, match="undefined: give this variable"):
        library.render("wild_v2_iteration", {})


def test_template_cannot_reach_out_of_its_sandbox(library: SkillLibrary, tmp_path: Path) -> None:
    write_skill(tmp_path, "evil", "---\nname: e\ndescription: d\n---\n{{ ''.__class__.__mro__ }}")
    with pytest.raises(InvalidRequest, match="evil"):
        library.render("evil", {})


def test_project_skill_shadows_the_shipped_one(library: SkillLibrary, tmp_path: Path) -> None:
    write_skill(tmp_path, "wild_v2_steer", "---\nname: Mine\ndescription: d\n---\nbody")
    skill = library.get("wild_v2_steer")
    assert (skill.name, skill.source, skill.template) == ("Mine", "project", "body")


def test_broken_skill_is_named_and_the_others_stay(library: SkillLibrary, tmp_path: Path) -> None:
    write_skill(tmp_path, "broken", "no front matter")
    with pytest.raises(InvalidRequest, match="broken"):
        library.get("broken")
    listed = {skill.id: skill for skill in library.all()}
    assert listed["broken"].category == "broken"
    assert set(SHIPPED) <= set(listed)


@pytest.mark.parametrize("id", ["../etc", "a/b", "", ".", "..", "x" * 200, "nope", "a\x00b"])
def test_odd_ids_are_not_found(id: str, library: SkillLibrary) -> None:
    with pytest.raises(NotFound):
        library.get(id)


def test_search_ranks_by_id_and_finds_nothing_for_nonsense(library: SkillLibrary) -> None:
    assert library.search("reflection")[0].id == "wild_v2_reflection"
    assert library.search("zxqv") == []


@pytest.mark.parametrize(
    "id",
    [
        "wild_v2_execution_ops_protocol",
        "wild_v2_gpu_discovery_parallel_scheduling",
        "wild_v2_idea",
        "alert_handler",
    ],
)
def test_bash_blocks_of_skills_parse(id: str, library: SkillLibrary) -> None:
    text = render_prompt(
        library,
        id,
        PromptContext(server_url="http://localhost:1", session_id="s", auth_header="-H x"),
    )
    script = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    assert "curl" in script
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


def test_sections_are_empty_without_content() -> None:
    assert steer_section([]) == ""
    assert "runs: 3 used of 10" in budget_section(Budget(runs=10), runs_used=3)
