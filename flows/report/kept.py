"""The report's section about changes that were kept and discarded."""

from flows.keep.decide import describe
from flows.keep.ledger import row_of
from flows.models.keep import KeepState, KeepStatus, Verdict
from flows.report.text import code, plain, table

HEADER = ("iteration", "status", "change", "test", "mean", "sd", "n", "best before", "p")
DESCRIPTION_LENGTH = 100


def kept(state: KeepState, alpha: float) -> str:
    """Every decision with its numbers, and what they are worth."""
    if not state.verdicts:
        return "No change was measured."
    counts = {status: sum(one.status is status for one in state.verdicts) for status in KeepStatus}
    told = ", ".join(f"{count} {status.value}" for status, count in counts.items())
    parts = [
        table(HEADER, [_row(one) for one in state.verdicts], right=5),
        f"{told}. Tests are one-sided with alpha = {alpha:g} for each iteration, so of a hundred "
        f"changes without effect about {100 * alpha:g} are kept.",
    ]
    if state.best is not None:
        best = state.best
        runs = ", ".join(map(code, best.run_ids))
        commit = code((best.commit or "")[:12])
        parts.append(
            f"Best: {describe(best)}, iteration {best.iteration}, commit {commit}, runs {runs}."
        )
    warnings = [
        f"- {one.label}: {plain(warning)}" for one in state.verdicts for warning in one.warnings
    ]
    return "\n\n".join([*parts, *(["\n".join(warnings)] if warnings else [])])


def _row(verdict: Verdict) -> list[str]:
    cells = row_of(verdict)
    tag = f" ({code(cells.tag)})" if cells.tag else ""
    return [
        str(cells.iteration),
        cells.status.value,
        plain(cells.description, DESCRIPTION_LENGTH) + tag,
        plain(cells.test or cells.why, DESCRIPTION_LENGTH),
        _number(cells.metric),
        _number(cells.sd),
        str(cells.n),
        _number(cells.best_mean),
        _number(cells.p),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
