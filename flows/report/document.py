"""The report as Markdown: its sections in order."""

from collections.abc import Sequence

from flows.report import account, findings
from flows.report.facts import ReportFacts
from flows.report.text import code, quote


def document(
    facts: ReportFacts, pictures: Sequence[str] = (), sweep_pictures: Sequence[str] = ()
) -> str:
    """The whole report.

    Args:
        facts: what it tells.
        pictures: paths of its plots, relative to it.
        sweep_pictures: those of the evolutionary sweeps.
    """
    sections = {
        "Result": findings.result(facts),
        "Plots": "\n\n".join(_image(path) for path in pictures) or "There is nothing to draw yet.",
        "Ablation": findings.ablation(facts),
        **({"Kept and discarded": facts.session.kept} if facts.session.kept else {}),
        "Evolutionary sweeps": findings.evo_sweeps(
            facts, [_image(path) for path in sweep_pictures]
        ),
        "What was done": account.phases(facts.plan),
        "Runs": account.runs_table(facts),
        "Failures": account.failures(facts),
        "Comparability": account.comparability(facts),
        "Lessons": account.lessons(facts),
        "Reproduce the best": f"{account.reproduce(facts)}\n\n{_branch(facts)}".strip(),
        "Calls of the agent": account.calls(facts),
    }
    parts = ["# Research report", quote(facts.session.goal), account.summary(facts)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def _image(path: str) -> str:
    name = path.rpartition("/")[2].removesuffix(".png").replace("_", " ")
    return f"![{name}](<{path}>)"


def _branch(facts: ReportFacts) -> str:
    session = facts.session
    if not session.branch or not session.base_commit:
        return ""
    return (
        f"The work is on branch {code(session.branch)}, begun at commit "
        f"{code(session.base_commit)}: {code(f'git diff {session.base_commit}..{session.branch}')} "
        "shows all of it."
    )
