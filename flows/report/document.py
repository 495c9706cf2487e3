"""The report as Markdown: first what came of it and what to do now, ids and times last."""

from collections.abc import Sequence

from wildloop.flows.evidence.texts import target_line
from wildloop.flows.models.run import RunStatus
from wildloop.flows.report import account, findings
from wildloop.flows.report.decides import decides
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.kept import kept
from wildloop.flows.report.next_steps import next_steps
from wildloop.flows.report.reproduce import reproduce
from wildloop.flows.report.text import code, plain, quote

NOTHING_MEASURED = "**No run of this session has finished: nothing was measured.**"


def document(
    facts: ReportFacts, pictures: Sequence[str] = (), sweep_pictures: Sequence[str] = ()
) -> str:
    """The whole report.

    Args:
        facts: what it tells.
        pictures: paths of its plots, relative to it.
        sweep_pictures: those of the evolutionary sweeps.
    """
    session = facts.session
    sections = {
        "Result": f"{findings.result(facts)}\n\n{account.price(facts)}",
        "What next": next_steps(facts),
        "Plots": "\n\n".join(_image(path) for path in pictures) or "There is nothing to draw yet.",
        "Ablation": findings.ablations(facts),
        "Evolutionary sweeps": findings.evo_sweeps(
            facts, [_image(path) for path in sweep_pictures]
        ),
        "What was done": account.phases(facts.plan),
        **({"Kept and discarded": kept(session.kept, session.keep_alpha)} if session.keeps else {}),
        "Runs": account.runs_table(facts),
        "Failures": account.failures(facts),
        "Comparability": account.comparability(facts),
        "Lessons": account.lessons(facts),
        "Reproduce the best": f"{reproduce(facts)}\n\n{_branch(facts)}".strip(),
        "Calls of the agent": account.calls(facts),
        "Session": f"{account.summary(facts)}\n\nWhat decides:\n\n{decides(session)}",
    }
    parts = ["# Research report", quote(session.goal)]
    if (target := target_line(facts.account)) is not None:
        parts.insert(1, f"**{plain(target)}**")
    if not any(run.status is RunStatus.FINISHED for run in facts.runs):
        parts.insert(0, NOTHING_MEASURED)
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
