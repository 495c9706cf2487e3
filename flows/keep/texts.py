"""Keep or discard in words: for the agent's prompt and the iteration log."""

from collections.abc import Sequence

from flows.keep.decide import describe, few_seeds
from flows.keep.ledger import plain
from flows.models.keep import KeepState, Verdict
from flows.models.session_record import IterationRecord

MANY_SEEDS = 3
SHOWN_VERDICTS = 5


def refused(error: Exception) -> str:
    """What is said where git does not take a change back."""
    return (
        f"the change could not be taken back and is still in the tree: {error}. Once that is "
        "mended, undo it by hand with `git restore --source=<base> -- <files>`"
    )


def isolation_section(is_isolated: bool) -> str:
    """What the agent is told of where its runs execute; empty where that is the project."""
    if not is_isolated:
        return ""
    return (
        "## Where runs execute\n\n"
        "A run executes the code as it is when the run is created, in a git worktree: edit on "
        "while runs wait or run. It sees what `git add -A` would take, and links to what "
        "`[isolation] link` in wildloop.toml names (by default .venv, venv, data, datasets). Let "
        "it write to `$WILDLOOP_RUN_DIR`, not to its working directory.\n\n"
    )


def keep_section(
    state: KeepState, alpha: float, is_measured: bool, last: IterationRecord | None
) -> str:
    """What the agent is told of keep and discard in its next prompt; empty where nothing is.

    Args:
        state: of the session.
        alpha: of its tests.
        is_measured: whether changes are kept by their runs; else only suspicious edits are told.
        last: the call before.
    """
    flags = [f"- {flag}" for flag in (last.flags if last else [])]
    if not is_measured:
        if not flags:
            return ""
        return "\n".join(["## Edits that make results hard to compare", "", *flags, ""])
    lines = [
        "## Keep or discard",
        "",
        "A change of the code stays only if the runs of its iteration show that it is better than "
        f"the best so far: one-sided t test over seeds, alpha {alpha:g}, by the primary metric"
        + (f" `{state.metric}` ({state.direction})" if state.metric else "")
        + ". What is not shown is taken back by git, outside `.wild`; it stays reachable by its "
        "tag. So: one change an iteration; commit nothing yourself; run it on "
        f"{MANY_SEEDS} or more seeds (`seed` of each run, the same seeds as the best); write notes "
        "and deliverables under `.wild/`. A configuration of which a seed failed does not count.",
        "",
    ]
    if state.best is None:
        lines.append(
            "Nothing is measured yet: the first iteration with runs sets the best. Let it be the "
            f"unchanged code, on {MANY_SEEDS} or more seeds."
        )
    else:
        best = state.best
        lines.append(
            f"Best so far: {describe(best)} (seeds {', '.join(best.seeds)}), iteration "
            f"{best.iteration}, commit {(best.commit or '')[:12]}: `{best.configuration}`"
        )
        if best.n < MANY_SEEDS:
            lines.append(f"- {few_seeds(best)}; on unchanged code they are added to it")
    lines += [_told(one, is_last=one is state.verdicts[-1]) for one in _shown(state)]
    known = {warning for one in state.verdicts[-1:] for warning in one.warnings}
    lines += [line for line in flags if line[2:] not in known]
    return "\n".join(lines) + "\n"


def _shown(state: KeepState) -> Sequence[Verdict]:
    return state.verdicts[-SHOWN_VERDICTS:]


def _told(verdict: Verdict, is_last: bool) -> str:
    text = f"- {verdict.label}: **{verdict.status.value}**"
    if is_last:
        text += f": {verdict.why}"
        if verdict.candidate is not None and verdict.candidate.n:
            text += f" ({describe(verdict.candidate)}"
            against = verdict.against
            text += f", the best had {describe(against)})" if against and against.n else ")"
    text += f"; {plain(verdict.description)[:150]}"
    if verdict.reverted_by:
        text += (
            f". Its files are as before (commit {verdict.reverted_by[:12]}); the change is tag "
            f"`{verdict.tag}`: `git diff {(verdict.base or '')[:12]} {verdict.tag}`"
        )
    if is_last:
        text += "".join(f"\n  - note: {warning}" for warning in verdict.warnings)
    return text


def log_entry(verdict: Verdict) -> str:
    """A decision as a section of iteration_log.md."""
    lines = [f"## {verdict.label}: {verdict.status.value}", "", f"- {verdict.why}"]
    if verdict.candidate is not None:
        candidate = verdict.candidate
        lines.append(f"- measured: {describe(candidate)}, {candidate.configuration}")
    if verdict.against is not None:
        lines.append(f"- best before: {describe(verdict.against)}")
    if verdict.tag:
        lines.append(f"- change: tag {verdict.tag}, commit {(verdict.commit or '')[:12]}")
    if verdict.reverted_by:
        lines.append(f"- taken back by commit {verdict.reverted_by[:12]}")
    lines += [f"- note: {warning}" for warning in verdict.warnings]
    return "\n".join(lines) + "\n"
