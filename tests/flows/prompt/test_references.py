"""What planning is told to read."""

from tests.support.pages import model_state, rendered
from wildloop.flows.project import ProjectConfig
from wildloop.flows.prompt.references import SHOWN, references_section


def named(**references: object) -> ProjectConfig:
    return ProjectConfig.model_validate({"references": references})


def test_planning_is_told_where_they_lie() -> None:
    project = named(
        papers=["papers/mixup.pdf"], notes=["notes"], urls={"https://e.org/a": "pages/a.html"}
    )
    text = rendered(model_state("planning", project=project))
    assert "- paper: `papers/mixup.pdf`\n- notes: `notes`\n" in text
    assert "- https://e.org/a: `pages/a.html`" in text
    assert "papers/mixup.pdf" not in rendered(model_state("iteration", project=project))


def test_nothing_is_said_without_any() -> None:
    assert references_section(model_state("planning", project=None)) == ""
    assert "References" not in rendered(model_state("planning"))


def test_many_are_counted() -> None:
    project = named(notes=[f"notes/{number}.md" for number in range(SHOWN + 3)])
    text = references_section(model_state("planning", project=project))
    assert text.count("notes/") == SHOWN and "3 more: [references] in wildloop.toml" in text
