"""Keep or discard in words: for the agent's prompt and the iteration log."""

from wildloop.flows.keep.decide import describe, few_seeds
from wildloop.flows.keep.ledger import plain
from wildloop.flows.models.keep import KeepState, Verdict

MANY_SEEDS = 3
DESCRIPTION_LENGTH = 150
SHOWN_WARNINGS = 5


def refused(error: Exception) -> str:
    """What is said where git does not take a change back."""
    return (
        f"the change could not be taken back and is still in the tree: {error}. Once that is "
        "mended, undo it by hand with `git restore --source=<base> -- <files>`"
    )


def last_verdict(state: KeepState) -> str:
    """What became of the last change that was decided upon, and how the best was measured."""
    lines = []
    if state.verdicts:
        lines.append("The last decision: " + _told(state.verdicts[-1]))
    if state.best is not None and state.best.n < MANY_SEEDS:
        lines.append(f"{few_seeds(state.best)}; runs of the unchanged code are added to it.")
    return "\n".join(lines)


def _told(verdict: Verdict) -> str:
    text = f"{verdict.label}: **{verdict.status.value}**: {verdict.why}"
    if verdict.candidate is not None and verdict.candidate.n:
        text += f" ({verdict.candidate.configuration})"
    text += f"; {plain(verdict.description)[:DESCRIPTION_LENGTH]}"
    if verdict.reverted_by:
        text += (
            f". Its files are as before (commit {verdict.reverted_by[:12]}); the change is tag "
            f"`{verdict.tag}`: `git diff {(verdict.base or '')[:12]} {verdict.tag}`"
        )
    return text + "".join(f"\n- note: {one}" for one in verdict.warnings[:SHOWN_WARNINGS])


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
