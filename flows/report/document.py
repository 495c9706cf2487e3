"""The report as Markdown: first what came of it and what to do now, ids and times last."""

from collections.abc import Sequence

from wildloop.flows.evidence.verdict import verdict
from wildloop.flows.models.run import RunStatus
from wildloop.flows.report import account, findings
from wildloop.flows.report.decides import decides
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.kept import kept
from wildloop.flows.report.next_steps import next_steps
from wildloop.flows.report.reproduce import reproduce
from wildloop.flows.report.sealed import held_out
from wildloop.flows.report.text import code, moment, plain, quote
from wildloop.flows.report.tree_text import tree

NOTHING_MEASURED = "**No run of this session has finished: nothing was measured.**"
FOREST = "forest"
PICTURES = {
    "forest": "Gains on the baseline with 95 % intervals, as in the table",
    "progress": "The mean of each configuration in the order of the first runs, and the baseline",
    "tree": "The changes of code, each joined to the one whose code it began with",
    "learning_curves": "Learning curves of the best configurations and the baseline",
    "parallel_coordinates": "The settings of each configuration and what they gave",
    "importance": "How much each setting mattered",
    "history": "The trials of the sweep in their order",
}
"""What is to be seen, by the picture's name."""


def document(
    facts: ReportFacts, pictures: Sequence[str] = (), sweep_pictures: Sequence[str] = ()
) -> str:
    """The whole report; a section without anything to tell is left out.

    Args:
        facts: what it tells.
        pictures: paths of its plots, relative to it.
        sweep_pictures: those of the evolutionary sweeps.
    """
    session = facts.session
    forest = [_image(path) for path in pictures if FOREST in path]
    plots = [_image(path) for path in pictures if FOREST not in path]
    sections = {
        "What next": next_steps(facts),
        "Result": findings.result(facts, forest),
        "Plots": "\n\n".join(plots),
        "Ablation": findings.ablations(facts),
        "Evolutionary sweeps": findings.evo_sweeps(
            facts, [_image(path) for path in sweep_pictures]
        ),
        "Lessons": account.lessons(facts),
        f"Reproduce the {_what_to_keep(facts)}": reproduce(facts),
        "Failures": account.failures(facts),
        "Comparability": account.comparability(facts),
        "Kept and discarded": kept(session.kept, session.keep_alpha) if session.keeps else "",
        "Tree of changes": tree(facts),
        "What was done": account.phases(facts.plan),
        "Runs behind the numbers": findings.behind(facts),
        "Runs": account.runs_table(facts),
        "Calls of the agent": account.calls(facts),
        "How it is decided": f"{decides(session)}\n\n{findings.account_rule(facts)}",
        "Session": f"{account.summary(facts)}\n\n{_branch(facts)}".strip(),
    }
    parts = ["# Research report", _first(facts), quote(session.goal)]
    if not _is_measured(facts):
        parts.insert(0, NOTHING_MEASURED)
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _first(facts: ReportFacts) -> str:
    """The verdict, what the hold-out said, the price, and why it ended: all in one paragraph."""
    said = [held_out(facts), account.price(facts)]
    if _is_measured(facts):
        said.insert(0, f"**{plain(verdict(facts.account), 600)}.**")
    session = facts.session
    ended = f"It ended: {plain(session.ended)}" if session.ended else ""
    said.append(
        f"{ended.removesuffix('.')}."
        if ended
        else f"This is how it stood at {moment(session.now)}."
    )
    return " ".join(filter(None, said))


def _is_measured(facts: ReportFacts) -> bool:
    return any(run.status is RunStatus.FINISHED for run in facts.runs)


def _what_to_keep(facts: ReportFacts) -> str:
    return "best" if facts.account.gain is not None else "baseline"


def _image(path: str) -> str:
    stem = path.rpartition("/")[2].removesuffix(".png")
    return f"![{PICTURES.get(stem, stem.replace('_', ' '))}](<{path}>)"


def _branch(facts: ReportFacts) -> str:
    session = facts.session
    if not session.branch or not session.base_commit:
        return ""
    return (
        f"The work is on branch {code(session.branch)}, begun at commit "
        f"{code(session.base_commit)}: {code(f'git diff {session.base_commit}..{session.branch}')} "
        "shows all of it."
    )
